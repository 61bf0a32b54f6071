"""The figures of attention.

Their inputs are `attention`, the measurements that `read_attention` reads, and where training
was followed `attention_history`: the contents of the journal's effective events of the kind
`ATTENTION_EVENT`, in their order.
"""

from pipeline.figures import (
    attention_agreement,
    attention_dashboard,
    attention_entropy,
    attention_faithfulness,
    attention_maps,
    attention_traits,
)
from pipeline.figures.spec import FigureSpec, registry


def attention_figures() -> dict[str, FigureSpec]:
    """Return the figures of attention, by name and in order."""
    modules = (
        attention_dashboard,
        attention_traits,
        attention_faithfulness,
        attention_maps,
        attention_entropy,
        attention_agreement,
    )
    return registry(*(spec for module in modules for spec in module.FIGURES))
