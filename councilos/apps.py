from django.apps import AppConfig


class CouncilosConfig(AppConfig):
    name = "councilos"
    verbose_name = "CouncilOS"

    def ready(self) -> None:
        from councilos import checks  # noqa: F401 - registers the checks
