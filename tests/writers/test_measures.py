import csv
import io

from medloop.types import Violation
from medloop.writers import measures

FAR = Violation("tumour diameter", "240 mm", "3 to 200 mm")


def test_one_row_a_case_with_units_and_rules():
    text = measures.table(
        [("a", {"area": 12.5, "roundness": 0.9}, ()), ("b", {"area": float("nan"), "depth": 2.0}, (FAR, FAR))],
        {"area": "mm2", "depth": "mm"},
    )
    one, two = csv.DictReader(io.StringIO(text))
    assert one == {"case": "a", "area (mm2)": "12.5", "roundness": "0.9", "depth (mm)": "", "violations": ""}
    assert (two["area (mm2)"], two["depth (mm)"]) == ("", "2")
    assert two["violations"] == "; ".join(["tumour diameter: 240 mm (allowed: 3 to 200 mm)"] * 2)


def test_without_rules_there_is_no_column_of_them():
    assert measures.table([("a", {"area": 1.0}, ())], flags=False) == "case,area\na,1\n"
