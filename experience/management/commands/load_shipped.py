"""`manage.py load_shipped`: the blueprints, agents and surfaces that come with CouncilOS."""

from typing import Any

from django.core.management.base import BaseCommand

from experience import shipped


class Command(BaseCommand):
    help = (
        "Load the blueprints, agents and surfaces that ship; a changed blueprint gets a new "
        "version."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        for line in shipped.load():
            self.stdout.write(line)
