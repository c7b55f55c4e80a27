"""What people see: tables on the terminal and figures."""
