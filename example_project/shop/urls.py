from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from example_project.shop import views
from example_project.shop.security import strict

app_name = "shop"

login = LoginView.as_view(template_name="shop/login.html", next_page="shop:home", redirect_authenticated_user=True)

urlpatterns = [
    path("", strict(views.home), name="home"),
    path("login/", strict(login), name="login"),
    path("logout/", strict(LogoutView.as_view(next_page="shop:login")), name="logout"),
    path("shop/<str:organization>/", strict(views.jobs), name="jobs"),
]
