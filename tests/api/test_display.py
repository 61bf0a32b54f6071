from pipeline.api.display import Displayed


class Result(Displayed):
    def _title(self):
        return "Two <clips>"

    def _values(self):
        return {"a": "1 < 2", "none": "", "long": "x"}


def test_the_text_has_a_line_per_value_and_omits_empty_values():
    assert repr(Result()) == "Two <clips>\n  a     1 < 2\n  long  x"


def test_the_table_is_valid_html():
    page = Result()._repr_html_()
    assert "Two &lt;clips&gt;" in page
    assert "1 &lt; 2" in page
    assert "none" not in page
