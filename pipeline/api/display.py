"""Short text form of results, and their form in notebooks."""

import html
from collections.abc import Mapping


class Displayed:
    """Base class of results with a title and named values.

    `repr` shows one line per value. A notebook shows a table.
    """

    def _title(self) -> str:
        """Return the first line."""
        raise NotImplementedError

    def _values(self) -> Mapping[str, str]:
        """Return name -> value of each line. Lines without a value are omitted."""
        raise NotImplementedError

    def __repr__(self) -> str:
        values = {name: value for name, value in self._values().items() if value}
        width = max(map(len, values), default=0)
        lines = (f"  {name:<{width}}  {value}" for name, value in values.items())
        return "\n".join((self._title(), *lines))

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align: left'>{html.escape(name)}</th>"
            f"<td style='text-align: left'>{html.escape(value)}</td></tr>"
            for name, value in self._values().items()
            if value
        )
        return f"<p><b>{html.escape(self._title())}</b></p><table>{rows}</table>"
