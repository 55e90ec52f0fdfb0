from pathlib import Path

from amrbench.files.labels import Label, Remarks
from amrbench.notes import collected_notes


def test_a_label_names_its_line():
    assert Label(Path("a.csv"), 3, "v", "a dog", 1.0, 2.0).location == "a.csv, line 3"


def test_equal_remarks_are_one_note_with_the_first_locations():
    remarks = Remarks(limit=2)
    for line in range(1, 5):
        remarks.add(f"line {line}", "is odd.")
    remarks.add("a.csv", "is empty.")
    with collected_notes() as notes:
        remarks.issue()
    assert notes == ["line 1; line 2 and 2 more: is odd.", "a.csv: is empty."]
