"""The reading of markup finds what it looks for."""

import pytest

from tests.markup import faults


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ("<p><span><ul></ul></span></p>", "<ul> in <span>"),
        ("<p><div></div></p>", "<div> in <p>"),
        ("<div><p></div>", "</div> where ['p'] is open"),
        ("<script>alert(1)</script>", "<script> brings its own style or script"),
        ('<b style="color: red"></b>', "<b> brings its own style or script"),
        ('<button onclick="go()"></button>', "<button onclick>"),
        ('<input placeholder="Code">', "placeholder 'Code'"),
        ("<label>Code:</label>", "label 'Code:'"),
        ('<i id="a"></i><i id="a"></i>', "id a twice"),
        ('<label for="b">B</label>', "no id b"),
    ],
)
def test_a_fault_is_found(page: str, fault: str) -> None:
    assert fault in faults(page)


def test_a_page_without_faults_has_none() -> None:
    assert faults('<p><label for="a">A</label><input id="a"></p><script src="/a.js"></script>') == []
