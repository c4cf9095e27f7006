"""Sign in with user name and password. The link that `manage.py up` prints is elsewhere."""

from django.contrib.auth.views import LoginView


class SignIn(LoginView):
    """Leads on to `next` on this server; who is signed in already goes there at once."""

    template_name = "dashboard/sign_in.html"
    redirect_authenticated_user = True
