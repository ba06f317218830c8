"""``python -m medloop`` is the command line."""

from medloop.cli import main

raise SystemExit(main())
