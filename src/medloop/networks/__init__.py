"""Networks: pretrained backbones, necks, heads and losses. Importing this package imports no torch; its modules that need it do."""
