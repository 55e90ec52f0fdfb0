from amrbench.pages.demo_page import demo_page
from amrbench.pages.page import Markup, Section


def test_the_form_is_between_heading_and_sections():
    html = demo_page(["a <model>"], [Section("More", Markup("<p>b</p>"))], largest=1000).html()
    assert html.index("<p>a &lt;model&gt;</p>") < html.index('<form id="demo" data-largest="1000">')
    assert html.index('<form id="demo"') < html.index("<p>b</p>")


def test_every_field_has_a_label():
    html = demo_page([], [], largest=1).html()
    for field in ("file", "sentences"):
        assert f'<label for="{field}">' in html
        assert f'id="{field}"' in html
