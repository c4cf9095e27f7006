from django.apps import AppConfig


class ExperienceConfig(AppConfig):
    name = "experience"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from experience import conversations
        from runtime import tasks

        tasks.add_chore(conversations.settle_due)
