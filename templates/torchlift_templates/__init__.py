"""Project templates (``torchlift scaffold``) and the code that renders them.

A template is a folder of this package, found by being there: ``template.toml`` says what it is, which options it takes
and what to do with the project, and ``files/`` holds the project, each file a Jinja source that ends in ``.jinja``.
"""

from torchlift_templates.catalog import Template, available, find
from torchlift_templates.errors import TemplateError
from torchlift_templates.names import check_project_name
from torchlift_templates.rendering import RenderResult, render, render_texts

__all__ = [
    "RenderResult",
    "Template",
    "TemplateError",
    "available",
    "check_project_name",
    "find",
    "render",
    "render_texts",
]
