"""What goes wrong while a project is made."""


class TemplateError(ValueError):
    """A project cannot be made from what was given; the message is a sentence for the person at the keyboard."""
