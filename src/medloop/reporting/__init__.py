"""Pages made of results and pictures: one self-contained HTML file each. This room knows no model."""

from medloop.reporting.evaluate_page import evaluate_page
from medloop.reporting.explain_page import Explained, explain_page
from medloop.reporting.heat import heat_picture
from medloop.reporting.inspect_page import inspect_page
from medloop.reporting.learn_page import learn_page
from medloop.reporting.overlays import overlay
from medloop.reporting.sheets import as_picture
from medloop.reporting.simulate_page import simulate_page

__all__ = [
    "Explained",
    "as_picture",
    "evaluate_page",
    "explain_page",
    "heat_picture",
    "inspect_page",
    "learn_page",
    "overlay",
    "simulate_page",
]
