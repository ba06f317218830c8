"""Pages made of results and pictures: one self-contained HTML file each. This room knows no model."""

from medloop.reporting.evaluate_page import evaluate_page
from medloop.reporting.inspect_page import inspect_page
from medloop.reporting.learn_page import learn_page
from medloop.reporting.sheets import as_picture

__all__ = ["as_picture", "evaluate_page", "inspect_page", "learn_page"]
