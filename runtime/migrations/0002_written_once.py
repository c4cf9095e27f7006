"""What is written once stays as it was: the database refuses to change it."""

from django.db import migrations

FUNCTION = """
CREATE FUNCTION runtime_written_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a row of % is written once and never changed', TG_TABLE_NAME;
END $$;
"""
TRIGGER = """
CREATE TRIGGER written_once BEFORE UPDATE OF {columns} ON {table}
FOR EACH ROW EXECUTE FUNCTION runtime_written_once();
"""


class Migration(migrations.Migration):
    dependencies = [("runtime", "0001_initial")]
    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION runtime_written_once() CASCADE"),
        migrations.RunSQL(
            TRIGGER.format(table="runtime_event", columns="run_id, seq, kind, key, data, at"),
            "DROP TRIGGER written_once ON runtime_event",
        ),
        migrations.RunSQL(
            # Not created_by: that is emptied when a user is deleted.
            TRIGGER.format(
                table="runtime_blueprintversion",
                columns="blueprint_id, number, document, created_at",
            ),
            "DROP TRIGGER written_once ON runtime_blueprintversion",
        ),
    ]
