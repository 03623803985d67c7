"""The page in a browser: write, choose, drag, on a desktop and on a phone."""

import contextlib
import re
import shutil
import subprocess
import sys

import pytest
from playwright.sync_api import expect, sync_playwright

from .conftest import WORDS, save_language, save_nth_farthest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS = 1000  # Playwright counts in milliseconds
MARKUP = "<img/src=x/onerror=alert(1)>"  # a word
PHONE = {"width": 390, "height": 844}
VECTORS = "vectors-of-five-features-with-a-name-of-two-lines"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
any_screen = pytest.mark.parametrize(
    "viewport", [{"width": 1280, "height": 800}, PHONE], ids=["desktop", "phone"]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder in which ``rrnn show`` runs."""
    return tmp_path_factory.mktemp("shown")


@pytest.fixture(scope="module")
def address(folder):
    """The address of ``rrnn show`` with two language models and two of Nth farthest."""
    with contextlib.chdir(folder):
        save_language("memory", words=[*WORDS, MARKUP], mem_slots=4)
        save_language("<b>lstm", words=[*WORDS, MARKUP], model="lstm", hidden_size=8)
        save_nth_farthest("points")
        save_nth_farthest(VECTORS, features=5)
    names = ["memory", "<b>lstm", "points", VECTORS]
    command = [sys.executable, "-m", "relational_rnn", "show", *names, "--port", "0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().split()[0]
        process.terminate()


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox"],  # CI runs as root
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium, address):
    """Open a tab of the page; nothing may be written to the console until the test ends."""
    said = []
    contexts = []

    def open_page(tab, **options):
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60 * SECONDS)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("requestfailed", lambda request: said.append(request.url))
        page.goto(f"{address}#{tab}")
        return page

    expect.set_options(timeout=60 * SECONDS)
    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def write(page, prompt="the cat", button="Generate"):
    page.get_by_label("Prompt").fill(prompt)
    page.get_by_role("button", name=button).click()
    expect(page.locator("#write-on")).to_have_text("Generate")
    return page.locator("#staff .column")


def texts(columns):
    return [text.splitlines()[0] for text in columns.all_inner_texts()]


@pytest.mark.slow  # a time: only an idle machine tells it
def test_the_first_paint_comes_within_a_second(open_page):
    page = open_page("language")
    times = []
    for _ in range(3):
        expect(page.locator("#write-on")).to_be_enabled()  # all is loaded
        page.reload()
        painted = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        expect(page.get_by_label("Prompt")).to_be_visible()
        times.append(page.evaluate(painted))
    expect(page.locator("#write-on")).to_be_enabled()
    assert min(times) < 1 * SECONDS


def test_words_stream_and_a_word_is_replaced_by_an_alternative(open_page):
    page = open_page("language")
    page.get_by_label("Words", exact=True).select_option("20")
    columns = write(page)
    expect(columns).to_have_count(3 + 20)
    before = texts(columns)
    assert before[:3] == ["↵", "the", "cat"]
    columns.nth(10).click()
    card = page.get_by_label("The selected word")
    expect(card.get_by_role("heading", level=2)).to_contain_text(before[10])
    expect(card).to_contain_text("probability")
    expect(card).to_contain_text("loss in nats")
    expect(card).to_contain_text("forget gate, by slot")
    alternatives = card.locator(".alternative")
    expect(alternatives).to_have_count(10)
    other = alternatives.filter(has_not=page.locator("[aria-current]")).nth(3)
    word = other.locator("span").first.inner_text()
    other.click()
    expect(columns).to_have_count(11 + 20)
    expect(card).to_be_hidden()
    assert texts(columns)[:10] == before[:10]
    assert texts(columns)[10] == word


@any_screen
def test_the_values_of_four_slots_stand_in_one_line(open_page, viewport):
    page = open_page("language", viewport=viewport)
    write(page, button="Read only").nth(2).click()
    card = page.get_by_label("The selected word")
    gate = card.get_by_role("row", name="input gate, by slot").locator(".swatch")
    expect(gate).to_have_count(4)
    assert len({chip.bounding_box()["y"] for chip in gate.all()}) == 1
    assert card.evaluate("card => card.scrollWidth <= card.clientWidth")


@any_screen
@pytest.mark.parametrize(
    ("tab", "staff", "legend"),
    [("language", "#staff", "#staff-legend"), ("reasoning", "#steps", "#reasoning-legend")],
)
def test_rows_are_named_as_in_the_legend(open_page, viewport, tab, staff, legend):
    page = open_page(tab, viewport=viewport)
    if tab == "language":
        write(page)
    names = page.locator(f"{staff} .names").first.locator(".row")
    expect(names.first).to_be_visible()
    expect(names).to_have_text(page.locator(f"{legend} b").all_inner_texts(), use_inner_text=True)
    sides = "all => all.map((it) => it.getBoundingClientRect()).map((box) => [box.left, box.right])"
    (beginning, _), *_ = page.locator(f"{staff} .column").evaluate_all(sides)
    for left, right in names.locator("span").evaluate_all(sides):
        assert 0 <= left < right <= beginning


def test_only_read_writes_nothing(open_page):
    columns = write(open_page("language"), "the dog saw a zebra", "Read only")
    expect(columns).to_have_count(6)
    page = columns.page
    expect(page.locator("#language-note")).to_contain_text("are read as <unk>: 'zebra'")


def test_two_models_are_compared_word_by_word(open_page):
    page = open_page("language")
    page.get_by_label("Compare with").select_option("runs/<b>lstm")
    columns = write(page, "the dog ran on the mat", "Read only")
    expect(columns).to_have_count(7)
    expect(page.locator("#verdict")).to_have_text(
        re.compile(
            r"memory · rmc perplexity [\d.]+, <b>lstm · lstm [\d.]+\. The first gave \d of 6 "
        )
    )
    assert page.locator("#staff .around .first, #staff .around .second").count() == 7
    columns.nth(3).click()
    expect(page.get_by_label("The selected word").locator(".compared tr")).to_have_count(3)


def test_the_words_are_used_by_keyboard(open_page):
    page = open_page("language")
    page.get_by_label("Prompt").fill("the cat sat")
    page.get_by_label("Prompt").press("Enter")
    expect(page.locator("#write-on")).to_have_text("Generate")
    first = page.locator("#staff .column").first
    first.focus()
    first.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_label("The selected word").get_by_role("heading", level=2)).to_have_text(
        "cat"
    )
    expect(page.locator("#status")).to_contain_text("choice; the model expected")
    page.keyboard.press("Escape")
    expect(page.get_by_label("The selected word")).to_be_hidden()


def test_tabs_are_used_by_keyboard_and_named_in_the_address(open_page):
    page = open_page("language")
    page.get_by_role("tab", name="Language").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Reasoning")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Reasoning")).to_be_visible()
    expect(page.get_by_role("tabpanel", name="Language")).to_be_hidden()
    assert page.url.endswith("#reasoning")


def answers(page):
    return page.locator("#answers").inner_text()


@pytest.mark.parametrize("run", ["runs/points", f"runs/{VECTORS}"])
def test_a_point_is_dragged_and_the_answer_changes(open_page, run):
    page = open_page("reasoning")
    expect(page.locator("#heads table").first).to_be_visible()
    page.get_by_label("Model").last.select_option(run)
    page.get_by_role("button", name="New example").click()
    features = "5 features" if VECTORS in run else "the vectors' own"
    expect(page.locator("#plane-note")).to_contain_text(features)
    points = page.locator("#plane .point")
    expect(points).to_have_count(4)
    before = answers(page)
    point = points.last  # drawn on top of the others: no other one is in the way
    label = point.get_attribute("aria-label")
    point.hover()  # scrolls to it
    plane = page.locator("#plane").bounding_box()
    page.mouse.down()
    page.mouse.move(plane["x"] + plane["width"] / 2, plane["y"] + plane["height"] / 2, steps=6)
    page.mouse.up()
    expect(point).not_to_have_attribute("aria-label", label)
    expect(page.locator("#answers")).not_to_have_text(before)
    dragged = point.get_attribute("aria-label")
    point.press("ArrowUp")
    expect(point).not_to_have_attribute("aria-label", dragged)


@any_screen
def test_a_long_name_is_shown_in_full_by_the_menu_of_models(open_page, viewport):
    page = open_page("reasoning", viewport=viewport)
    expect(page.locator("#heads table").first).to_be_visible()
    menu = page.locator("#answerer")
    menu.select_option(f"runs/{VECTORS}")
    needed, there = menu.evaluate(
        """menu => {
          const style = getComputedStyle(menu);
          const sides = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
          const ends = parseFloat(style.paddingTop) + parseFloat(style.paddingBottom);
          const text = document.createElement("div");
          text.style.font = style.font;
          text.style.width = `${menu.clientWidth - sides}px`;
          text.textContent = menu.selectedOptions[0].textContent;
          document.body.append(text);
          const needed = text.offsetHeight;
          text.remove();
          return [needed, menu.clientHeight - ends];
        }"""
    )
    assert needed <= there


def test_the_memory_is_watched_step_by_step(open_page):
    page = open_page("reasoning")
    steps = page.locator("#steps .column")
    expect(steps).to_have_count(4)
    expect(page.locator("#step-value")).to_contain_text("step 4 of 4")
    last = page.locator("#heads").inner_text()
    steps.nth(1).click()
    expect(page.locator("#step-value")).to_contain_text("step 2 of 4")
    expect(page.locator("#said")).to_contain_text("After 2 of 4 vectors")
    assert page.locator("#heads").inner_text() != last
    expect(page.locator("#plane .unseen-yet")).to_have_count(2)
    page.get_by_role("button", name="Play").click()
    expect(page.locator("#step-value")).to_contain_text("step 4 of 4")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    expect(page.locator("#said")).to_contain_text("The model answers")


def test_another_question_is_asked(open_page):
    page = open_page("reasoning")
    expect(page.locator("#heads table").first).to_be_visible()
    page.get_by_label("rank by distance").select_option("3")  # farthest first: m itself
    reference = page.get_by_label("object m").input_value()
    right = page.locator("#answers tr", has_text="✓")
    expect(right).to_contain_text(f"{reference} = m ✓")


def test_curves_are_drawn_and_read(open_page):
    page = open_page("runs")
    expect(page.locator("#tasks section")).to_have_count(2)
    expect(page.locator(".chart .line")).to_have_count(8)
    expect(page.locator("table.runs").first).to_contain_text("memory")
    expect(page.locator("table.runs").first).to_contain_text("best validation perplexity")
    chart = page.locator(".chart").first
    expect(chart).to_contain_text("Validation perplexity during training")
    expect(chart.locator(".reading")).to_contain_text("lastmemory 8.000")
    chart.locator("svg").focus()
    for _ in range(40):
        page.keyboard.press("ArrowLeft")
    expect(chart.locator(".reading")).to_contain_text("memory 9.000")
    page.get_by_text("time", exact=True).click()
    expect(chart.locator(".tick").last).to_contain_text("s")


def test_a_curve_grows_while_its_run_is_trained(open_page, folder):
    page = open_page("runs")
    reading = page.locator(".chart").nth(3).locator(".reading")  # training loss of Nth farthest
    expect(reading).to_contain_text("points 1.30")
    with open(folder / "runs" / "points" / "metrics.csv", "a", encoding="utf-8") as file:
        file.write("30,960,4.5,1.2,\n")
    expect(reading).to_contain_text("points 1.20")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("tab", ["language", "reasoning", "runs"])
def test_a_phone_shows_everything_without_scrolling_sideways(open_page, tab, scheme):
    page = open_page(tab, viewport=PHONE, color_scheme=scheme, has_touch=True)
    if tab == "language":
        write(page).nth(4).click()
        card = page.get_by_label("The selected word")
        expect(card).to_be_in_viewport()
        page.get_by_role("button", name="Close").click()
        expect(card).to_be_hidden()
    else:
        shown = {"reasoning": "#heads table", "runs": "table.runs"}[tab]
        expect(page.locator(shown).first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_markup_in_words_and_names_is_text(open_page):
    page = open_page("language")
    columns = write(page, MARKUP, "Read only")
    assert texts(columns)[1] == MARKUP
    columns.nth(1).click()
    heading = page.get_by_label("The selected word").get_by_role("heading", level=2)
    expect(heading).to_have_text(MARKUP)
    page.get_by_role("tab", name="Runs").click()
    expect(page.locator("table.runs").first).to_contain_text("<b>lstm")
    expect(page.locator("main img, main b b, td b")).to_have_count(0)


def test_every_control_has_a_name(open_page):
    page = open_page("language")
    write(page).nth(3).click()
    for tab in ("language", "reasoning", "runs"):
        page.get_by_role("tab", name=tab, exact=False).click()
        controls = page.locator("button, select, input, textarea, [tabindex='0']")
        unnamed = controls.evaluate_all(
            """all => all.filter((it) => it.checkVisibility()
              && !(it.ariaLabel || it.labels?.[0]?.textContent || it.textContent).trim())
              .map((it) => it.outerHTML)"""
        )
        assert unnamed == []
