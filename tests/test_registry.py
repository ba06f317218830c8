import pytest

from medloop import registry
from medloop.errors import InputError


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        registry.load("samples", "fantom-ct")
    assert caught.value.code == "unknown-sample-collection"
    assert "Did you mean phantom-ct" in caught.value.fix


def test_listing_imports_nothing() -> None:
    import subprocess
    import sys

    script = "import sys; from medloop import registry; registry.names('readers'); print('medloop.readers.dicom' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def test_modules_with_an_underscore_are_no_plugins() -> None:
    assert not [name for room in ("readers", "features", "families") for name in registry.names(room) if name.startswith("_")]
