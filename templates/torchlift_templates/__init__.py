"""Project templates and the code that renders them."""
