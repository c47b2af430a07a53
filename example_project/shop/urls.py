from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from example_project.shop import views
from example_project.shop.security import strict

app_name = "shop"

login = LoginView.as_view(template_name="shop/login.html", next_page="shop:home", redirect_authenticated_user=True)
GROUP = "shop/<str:organization>/groups/<str:kind>/<int:oldest>-<int:newest>/"

urlpatterns = [
    path("", strict(views.home), name="home"),
    path("login/", strict(login), name="login"),
    path("logout/", strict(LogoutView.as_view(next_page="shop:login")), name="logout"),
    path("shop/<str:organization>/", strict(views.jobs), name="jobs"),
    path("shop/<str:organization>/rows/", strict(views.rows), name="rows"),
    path("shop/<str:organization>/before/<int:before>/", strict(views.older), name="older"),
    path("shop/<str:organization>/before/<int:before>/rows/", strict(views.rows), name="older-rows"),
    path(GROUP, strict(views.group), name="group"),
    path(f"{GROUP}rows/", strict(views.group), {"alone": True}, name="group-rows"),
    path("shop/<str:organization>/jobs/<str:job_id>/", strict(views.job), name="job"),
]
