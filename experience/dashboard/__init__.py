"""The pages: server-rendered, for people signed in. What they change, they change by REST."""
