"""`manage.py load_shipped`: the blueprints and agents that come with CouncilOS."""

from typing import Any

from django.core.management.base import BaseCommand

from runtime import shipped


class Command(BaseCommand):
    help = "Load the blueprints and agents that ship; a changed blueprint gets a new version."

    def handle(self, *args: Any, **options: Any) -> None:
        for line in shipped.load():
            self.stdout.write(line)
