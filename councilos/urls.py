from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

handler404 = "experience.errors.page_not_found"
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("", include("experience.urls")),
]
