"""The admin's own door: staff sign in where everybody does, with the same limits and the same second factor."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin

admin.site.site_header = "Refer a Friend: staff"
admin.site.site_title = "Refer a Friend: staff"
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
