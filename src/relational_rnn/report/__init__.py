"""Compare runs, show a memory, show a sweep: tables for the terminal, pictures, HTML pages."""
