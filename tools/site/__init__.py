"""The site: lessons, exercises, teacher's pages, museum, glossary, API and explorers as pages.

    python -m tools.site                 writes build/site, in a few minutes: it runs every lesson
    python -m tools.site --lessons 3 5   runs these alone, and makes no other lesson's page

Nothing in it needs a network or a server; it is read from file:// as well.
"""
