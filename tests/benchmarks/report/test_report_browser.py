"""Reports in a real browser: figures render, tables work, nothing comes from outside."""

import base64
import shutil
from contextlib import contextmanager

import pytest
from plugin_testing.report_database import IT, OOD, TAU, everything, report_with_properties, zoo_report

from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import parse
from brainscore_vision.benchmarks.laion_fmri_7t.report.drawing import row_labels
from brainscore_vision.benchmarks.laion_fmri_7t.report.page import SHOWN
from brainscore_vision.benchmarks.laion_fmri_7t.report.study import TOP, read_study
from brainscore_vision.benchmarks.laion_fmri_7t.report.variants import Variant
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no chromium with chromedriver (Debian: chromium, chromium-driver)"
    ),
    pytest.mark.slow,
]
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is in the extra 'test'")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module", params=["three models", "a hundred models"])
def page(request, browser, tiny_dataset, tmp_path_factory):
    """The browser with a report open."""
    if request.param == "three models":
        root = tmp_path_factory.mktemp("report")
        report_with_properties(root, everything(tiny_dataset))
    else:
        root = zoo_report(tiny_dataset)
    browser.set_window_size(1400, 900)
    browser.get((root / "page" / "index.html").as_uri())
    browser.study = read_study(ResultsDatabase(root / "results.db"))
    return browser


@contextmanager
def screen(page, width, height=900, dark=False):
    """The page on another screen: windows have a least width."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    try:
        yield
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.fixture
def everyone(page):
    """All models are shown, in the order of the report, before and after a test."""

    def show_all():
        page.execute_script(
            """for (const id of ["filter-models", "filter-benchmarks"]) {
                 const input = document.getElementById(id);
                 input.value = ""; input.dispatchEvent(new Event("input"));
               }
               const shown = document.getElementById("shown");
               if (shown) { shown.value = ""; shown.dispatchEvent(new Event("change")); }
               const mean = document.querySelector("#board th.mean button");
               while (mean.closest("th").getAttribute("aria-sort") !== "descending") mean.click();"""
        )

    show_all()
    yield page.study.models
    show_all()


def test_figures_render(page):
    boxes = page.execute_script(
        """return [...document.querySelectorAll("figure svg")].map(svg => {
             const box = svg.getBoundingClientRect();
             const drawn = [...svg.querySelectorAll("path")].filter(p => p.getBoundingClientRect().width > 0).length;
             const out = [...svg.querySelectorAll("text")].filter(t => {
               const b = t.getBoundingClientRect();
               return b.left < box.left - 2 || b.right > box.right + 2 || b.top < box.top - 2 || b.bottom > box.bottom + 2;
             }).map(t => t.textContent);
             return [box.width, box.height, drawn, svg.querySelectorAll("text").length, out]; })"""
    )
    assert len(boxes) >= 8
    for width, height, paths, texts, cut_off in boxes:
        assert width > 900
        assert height > 100
        assert paths > 5
        assert texts > 5
        assert cut_off == []


def test_nothing_is_fetched_and_nothing_complains(page):
    assert page.get_log("browser") == []
    fetched = page.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in fetched if not name.startswith("data:")] == []


def test_nothing_could_be_fetched(page, tmp_path):
    """The policy that the page carries is in force, even for files beside it."""
    refused = page.execute_async_script(
        """const done = arguments[0];
           document.addEventListener("securitypolicyviolation", e => done(e.violatedDirective), {once: true});
           const image = new Image(); image.src = "figures/voxels.svg"; document.body.append(image);
           setTimeout(() => done("loaded"), 3000);"""
    )
    page.get_log("browser")  # which now holds the refusal
    assert refused == "img-src"


@pytest.mark.parametrize("width", [1400, 800, 400])
def test_the_page_is_never_wider_than_the_window(page, width):
    with screen(page, width):
        widths = page.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1] == width


def test_figures_scroll_on_a_phone_and_captions_do_not(page):
    with screen(page, 400):
        found = page.execute_script(
            """return [...document.querySelectorAll("figure")].map(figure => {
                 const drawing = figure.querySelector(".drawing"), svg = drawing.querySelector("svg");
                 const size = parseFloat(getComputedStyle(svg.querySelector("text")).fontSize);
                 const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
                 return [drawing.scrollWidth - drawing.clientWidth, size * scale,
                         figure.querySelector("figcaption").getBoundingClientRect().right]; })"""
        )
    for hidden, letters, right in found:
        assert hidden > 300
        assert letters > 8  # pixels, as on a wide screen
        assert right <= 400


def test_the_first_screen_has_the_answer_and_the_best_models(page, everyone):
    with screen(page, 1366, 650):
        page.execute_script("window.scrollTo(0, 0)")
        ends = page.execute_script(
            """const bottom = e => e.getBoundingClientRect().bottom;
               return [bottom(document.querySelector(".answer.main")), bottom(document.querySelector("#board tbody tr"))];"""
        )
    assert ends[0] < ends[1] < 650


def test_the_answer_is_what_the_results_say(page):
    study = page.study
    for sentence in page.find_elements("css selector", ".answer"):
        cell = parse(sentence.get_attribute("data-benchmark"))
        (first, result), (second, other) = study.best(Variant.of(cell), cell.region)[:2]
        tied = result.value == other.value
        assert cell.region in sentence.text
        assert f"{result.value:.3f}" == sentence.find_element("css selector", ".value").text
        assert sentence.find_element("css selector", "strong").text == first
        assert ("equally well" in sentence.text) == tied
        if not tied:
            assert f"{result.value - other.value:.3f}" == sentence.find_element("css selector", ".gap").text
            assert f"more than {second}, the next of" in sentence.text


def test_dark_screens_have_light_letters_in_figures_too(page):
    def contrasts():
        return page.execute_script(
            """const light = colour => {
                 const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(v => v / 255)
                   .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                 return 0.2126 * r + 0.7152 * g + 0.0722 * b;
               };
               const paper = light(getComputedStyle(document.body).backgroundColor);
               const contrast = colour => (Math.max(paper, light(colour)) + 0.05) / (Math.min(paper, light(colour)) + 0.05);
               // not those on coloured cells, and of maps not the letters on dark boxes of their own, which stay as they are
               const texts = [...document.querySelectorAll("figure svg text")]
                 .filter(e => !e.closest("[id*='categories'], [id*='compared']"))
                 .filter(e => !(e.closest("[id*='brain']") && getComputedStyle(e).fill === "rgb(254, 254, 254)"));
               return [paper, Math.min(...texts.map(e => contrast(getComputedStyle(e).fill))),
                       contrast(getComputedStyle(document.body).color),
                       contrast(getComputedStyle(document.querySelector("#board td.bar small")).color)];"""
        )

    for dark in (False, True):
        with screen(page, 1400, dark=dark):
            paper, *found = contrasts()
        assert (paper < 0.05) == dark
        assert min(found) > 4.5  # WCAG 2.1, level AA


def test_on_paper_a_dark_screen_plays_no_part(page):
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    )
    try:
        colour = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    assert colour == "rgb(255, 255, 255)"


def first_table(page):
    """Names and values (None where not scored) of the visible rows, column by column of the first table."""
    return page.execute_script(
        """return [...document.querySelector("table.scores").tBodies[0].rows].filter(r => r.offsetHeight > 0).map(r =>
             [r.cells[0].textContent, ...[...r.cells].slice(1).filter(c => c.offsetWidth > 0)
               .map(c => c.dataset.value === undefined ? null : Number(c.dataset.value))])"""
    )


def names_of(page):
    return [row[0] for row in first_table(page)]


def head_of(page, words):
    """The button of a column of the leaderboard."""
    return next(b for b in page.find_elements("css selector", "#board thead button") if b.text.strip("▲▼⇅ ") == words)


def click(page, button):
    page.execute_script(
        "arguments[0].scrollIntoView({block: 'center', inline: 'center'}); arguments[0].click()", button
    )


def test_one_order_of_models(page, everyone):
    """Of the leaderboard, of every other table, and of the names beside figures."""
    assert names_of(page) == everyone
    assert page.find_element("css selector", "#board th.mean").get_attribute("aria-sort") == "descending"
    tables = page.execute_script(
        """return [...document.querySelectorAll("table.scores")].map(table =>
             [...table.tBodies[0].rows].map(row => row.cells[0].textContent))"""
    )
    assert all(names == [name for name in everyone if name in names] for names in tables)
    labels = {label.replace("\n", ""): model for model, label in row_labels(everyone).items()}
    figures = page.execute_script(
        """return [...document.querySelectorAll("figure svg[id^='fig-scores'] [id$='--axes_1']")].map(panel =>
             [...panel.querySelectorAll("[id*='--matplotlib.axis_2'] g[id*='--text_']")]
               .map(label => label.textContent.replace(/\\s/g, "")))"""
    )
    assert len(figures) > 1
    for texts in figures:
        drawn = [labels[text] for text in texts]
        assert len(drawn) == min(TOP, len(drawn)) > 1
        assert drawn == [name for name in everyone if name in drawn]


def test_sorting(page, everyone):
    head = page.find_element("css selector", f"table.scores th[data-benchmark='{OOD}']")
    column = int(head.find_element("css selector", "button").get_attribute("data-column"))
    unsorted = first_table(page)
    for order, sign in (("descending", -1), ("ascending", 1)):
        click(page, head.find_element("css selector", "button"))
        rows = first_table(page)
        # gaps come last, and what is equal stays in the order of the report
        expected = sorted(
            unsorted, key=lambda row: (row[column] is None, sign * (row[column] or 0), everyone.index(row[0]))
        )
        assert rows == expected
        assert head.get_attribute("aria-sort") == order
    click(page, head_of(page, "Model"))
    names = names_of(page)
    assert names == page.execute_script("return arguments[0].toSorted((a, b) => a.localeCompare(b))", names)
    assert head.get_attribute("aria-sort") == "none"


def test_sorting_by_properties(page, everyone):
    """Numbers from the largest, words from the first letter; models without one last."""
    click(page, head_of(page, "parameters"))
    known = {model: n % 50 for n, model in enumerate(everyone) if n % 3}
    assert names_of(page) == sorted(everyone, key=lambda model: -known.get(model, -1))
    click(page, head_of(page, "family"))
    assert names_of(page) == [*everyone[::2], *everyone[1::2]]


def test_filtering(page, everyone):
    models, benchmarks = (page.find_element("id", f"filter-{name}") for name in ("models", "benchmarks"))
    part = everyone[0][:-2]
    models.send_keys(part.upper())
    wanted = [name for name in everyone if part in name]
    assert names_of(page) == wanted
    count = page.find_element("id", "filter-count").text
    assert count == (
        f"{len(wanted)} of {len(everyone)} models fit." if len(wanted) < len(everyone) else f"{len(wanted)} models."
    )
    models.clear()
    models.send_keys("no such model")
    assert first_table(page) == []
    models.clear()
    models.send_keys("family=odd")
    assert names_of(page) == everyone[1::2]
    models.clear()
    benchmarks.send_keys("IT-tau")
    shown = page.execute_script(
        "return [...document.querySelectorAll('th[data-benchmark]')].filter(h => h.offsetWidth).map(h => h.dataset.benchmark)"
    )
    assert shown == [IT]
    assert {len(row) for row in first_table(page)} == {5}  # with name, mean and two properties
    benchmarks.clear()
    benchmarks.send_keys(" ")
    assert TAU in page.execute_script(
        "return [...document.querySelectorAll('th[data-benchmark]')].map(h => h.dataset.benchmark)"
    )
    assert len(first_table(page)) == len(everyone)


def test_many_models_are_a_choice(page, everyone):
    """The first ones of the present order and filter, and as many as the reader wants."""
    if len(everyone) <= SHOWN:
        assert page.find_elements("id", "shown") == []
        return
    page.execute_script(
        "const e = document.getElementById('shown'); e.value = arguments[0]; e.dispatchEvent(new Event('change'))",
        str(SHOWN),
    )
    assert names_of(page) == everyone[:SHOWN]
    assert page.find_element("id", "filter-count").text == f"Shown: the first {SHOWN} of {len(everyone)} models."
    click(page, head_of(page, "Mean"))  # ascending
    means = page.study.means
    assert names_of(page) == sorted(everyone, key=lambda model: (means[model], everyone.index(model)))[:SHOWN]
    page.find_element("id", "filter-models").send_keys("family=odd")
    assert len(names_of(page)) == SHOWN
    assert set(names_of(page)) <= set(everyone[1::2])


def test_gaps_of_the_leaderboard_are_said(page, everyone):
    """A dash where nothing was scored, and a mean that is marked as one with gaps."""
    cells = page.study.cells
    for row in page.find_elements("css selector", "#board tbody tr"):
        model = row.find_element("css selector", "th").text
        n_gaps = sum((model, v, r) not in cells for v in page.study.board for r in page.study.regions(v))
        assert len(row.find_elements("css selector", "td.number.none:not(.mean)")) == n_gaps
        assert row.find_element("css selector", "td.mean").text.startswith("≈") == (n_gaps > 0)
        if n_gaps:
            break


def test_heads_stay_in_sight(page):
    """Scrolled to its end, a table of a hundred rows still shows its heads and its first column."""
    places = page.execute_script(
        """const scroll = document.querySelector("div.scores"), table = scroll.firstElementChild;
           scroll.scrollTo(1e6, 1e6);
           const box = scroll.getBoundingClientRect(), top = e => e.getBoundingClientRect().top - box.top;
           const last = table.tBodies[0].rows[table.tBodies[0].rows.length - 1].cells[0].getBoundingClientRect();
           const found = [top(table.querySelector("th.group")), top(table.querySelector("th[data-benchmark]")),
                          last.left - box.left];
           scroll.scrollTo(0, 0); return found;"""
    )
    group, region, first_column = places
    assert -2 <= group <= 4
    assert group < region < 120
    assert -2 <= first_column <= 4


def test_printing(page, tmp_path):
    pdf = base64.b64decode(
        page.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})["data"]
    )
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 50_000
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:  # tables are unfolded, whatever needs a screen is gone
        hidden = page.execute_script(
            """return [...document.querySelectorAll(".scroll")].filter(s => s.clientHeight < s.scrollHeight - 2).length
               + [...document.querySelectorAll(".filters label, nav, .screen")].filter(e => e.offsetHeight > 0).length"""
        )
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert hidden == 0
