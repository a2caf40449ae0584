"""Reports in a real browser: figures render, tables work, nothing comes from outside."""

import base64
import shutil

import pytest
from plugin_testing.report_database import IT, OOD, TAU, everything, fill, zoo
from plugin_testing.scored_cells import facts

from brainscore_vision.benchmarks.laion_fmri_7t.report import write_report

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
    root = tmp_path_factory.mktemp("report")
    own = everything(tiny_dataset) if request.param == "three models" else zoo(tiny_dataset)
    database = fill(root / "results.db", own)
    database.add_failure("broken", None, facts(own[0], 99), "ImportError: timm", "Traceback: line 7")
    browser.set_window_size(1400, 900)
    browser.get(write_report(database, root / "page").as_uri())
    return browser


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
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}  # windows have a least width
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        widths = page.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert widths[0] <= widths[1] == width


def first_table(page):
    """Names and values (None where not scored) of the visible rows, column by column of the first table."""
    return page.execute_script(
        """return [...document.querySelector("table.scores").tBodies[0].rows].filter(r => r.offsetHeight > 0).map(r =>
             [r.cells[0].textContent, ...[...r.cells].slice(1).filter(c => c.offsetWidth > 0)
               .map(c => c.dataset.value === undefined ? null : Number(c.dataset.value))])"""
    )


def test_sorting(page):
    head = page.find_element("css selector", f"table.scores th[data-benchmark='{OOD}']")
    table = page.find_element("css selector", "table.scores")
    column = int(head.find_element("css selector", "button").get_attribute("data-column"))
    unsorted = first_table(page)
    for order, sign in (("descending", -1), ("ascending", 1)):
        page.execute_script("arguments[0].scrollIntoView({block: 'center'})", table)
        head.find_element("css selector", "button").click()
        rows = first_table(page)
        values = [row[column] for row in rows if row[column] is not None]
        assert values == sorted(values, key=lambda value: sign * value)
        assert [row[column] is None for row in rows] == sorted(row[column] is None for row in rows)  # gaps come last
        assert head.get_attribute("aria-sort") == order
        assert sorted(map(str, rows)) == sorted(map(str, unsorted))
    page.find_element("css selector", "table.scores th.model button").click()
    names = [row[0] for row in first_table(page)]
    assert names == page.execute_script("return arguments[0].toSorted((a, b) => a.localeCompare(b))", names)
    assert head.get_attribute("aria-sort") == "none"


def test_filtering(page):
    models, benchmarks = (page.find_element("id", f"filter-{name}") for name in ("models", "benchmarks"))
    everyone = [row[0] for row in first_table(page)]
    part = everyone[0][:-2]
    models.send_keys(part.upper())
    wanted = [name for name in everyone if part in name]
    assert [row[0] for row in first_table(page)] == wanted
    assert page.find_element("id", "filter-count").text == f"{len(wanted)} of {len(everyone)} models"
    models.clear()
    models.send_keys("no such model")
    assert first_table(page) == []
    models.clear()
    benchmarks.send_keys("IT-tau")
    shown = page.execute_script(
        "return [...document.querySelectorAll('th[data-benchmark]')].filter(h => h.offsetWidth).map(h => h.dataset.benchmark)"
    )
    assert shown == [IT]
    assert {len(row) for row in first_table(page)} == {2}
    benchmarks.clear()
    benchmarks.send_keys(" ")
    assert TAU in page.execute_script(
        "return [...document.querySelectorAll('th[data-benchmark]')].map(h => h.dataset.benchmark)"
    )
    assert len(first_table(page)) == len(everyone)


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
               + [...document.querySelectorAll(".filters, nav, .screen")].filter(e => e.offsetHeight > 0).length"""
        )
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert hidden == 0
