"""The recurrence in C++, compiled at first use for the CPU that it runs on."""
