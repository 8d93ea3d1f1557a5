"""README and docs, as their readers use them: every command and block runs, and what they quote is what comes out."""

import pytest

from tests.docs.log import PageRuns, failures
from tests.docs.pages import Page, all_pages
from tests.docs.runner import ROOT, unused_rules

PAGES = all_pages(ROOT)
README = PAGES[0]
by_page = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])


@by_page
def test_all_marks_of_a_page_are_understood_and_of_use(page: Page):
    assert [*page.problems, *unused_rules(page)] == []


@pytest.mark.slow
@by_page
def test_every_command_and_block_of_a_page_runs_and_every_figure_is_what_comes_out(page: Page, page_runs: PageRuns):
    failed = failures(page_runs.entries(page, README))
    assert not failed, "\n".join(failed)
