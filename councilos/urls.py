from django.contrib import admin
from django.urls import include, path

handler404 = "experience.errors.page_not_found"
urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("experience.urls")),
    path("", include("experience.dashboard.urls")),
]
