/* page_style.c - the style sheet of the page: calm, light and dark, one column on a
 * phone. Why here: colours have one place; charts name classes, never colours. The
 * colours of kinds of model keep their order in lightness and differ for the common
 * forms of colour blindness (after Okabe and Ito 2008, toned down). */
#include "report/html.h"

static const char *const style[] = {
    ":root{--bg:#f7f8f8;--panel:#fff;--ink:#1c2429;--muted:#5f6b73;--line:#e2e6e8;"
    "--accent:#1f5f99;--hold:#2a7a5e;--plot:#f1f4f5;--good:#1c7a4c;--bad:#b3402f;--"
    "cell:#0d4074;--in:#000;--on:#fff;"
    "--k0:#2f6fb0;--k1:#d9822b;--k2:#2a9274;--k3:#b8568f;--k4:#7d6bb5;--k5:#a38317;"
    "--k6:#3f9fc4;--k7:#8a5a44;color-scheme:light dark}\n",
    "@media(prefers-color-scheme:dark){:root{--bg:#12171b;--panel:#1a2126;--ink:#"
    "e3e8eb;"
    "--muted:#97a4ad;--line:#2c363d;--accent:#6db1ec;--hold:#62c4a0;--plot:#141a1e;"
    "--good:#5fc48f;--bad:#e8836f;--cell:#64a6e0;--in:#fff;--on:#000;--k0:#6aa8e6;--k1:"
    "#eda45a;--k2:#4fbf9c;"
    "--k3:#dd8abb;--k4:#a99ae0;--k5:#cfb04a;--k6:#79c6e4;--k7:#c09480}}\n",
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 "
    "system-ui,-apple-system,"
    "\"Segoe UI\",Roboto,\"Helvetica "
    "Neue\",Arial,sans-serif;-webkit-text-size-adjust:100%}\n"
    "main{max-width:1120px;margin:0 auto;padding:32px 20px 48px}"
    "h1{font-size:26px;line-height:1.2;margin:0 0 "
    "6px;font-weight:650;overflow-wrap:anywhere}"
    "h2{font-size:18px;margin:40px 0 4px;font-weight:650}"
    ".lead{font-size:18px;line-height:1.45;margin:0 0 "
    "4px;max-width:62em;overflow-wrap:anywhere}"
    ".note,.meta{color:var(--muted);font-size:14px;margin:2px 0 12px;max-width:66em;"
    "overflow-wrap:anywhere}\n",
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:"
    "12px;"
    "margin:22px 0 8px}"
    ".card,.panel{background:var(--panel);border:1px solid "
    "var(--line);border-radius:10px}"
    ".card{padding:12px 16px}.card "
    "b{display:block;font-size:25px;line-height:1.3;font-weight:600;"
    "white-space:nowrap}"
    ".card span{display:block;color:var(--muted);font-size:13px;line-height:1.4}\n",
    ".pair{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,430px),"
    "1fr));"
    "gap:14px;align-items:start}"
    ".panel{margin:0;padding:12px 14px 8px;min-width:0}"
    "figcaption{font-weight:600;font-size:15px;margin:0 0 4px}"
    "svg{display:block;width:100%;height:auto;font-size:12px}"
    "svg text{fill:var(--muted)}"
    ".tx,.tl,.in{text-anchor:middle}.ty,.ts{text-anchor:end}.in{font-size:11px}"
    "svg .in{fill:var(--in)}svg .on{fill:var(--on)}"
    ".grid{stroke:var(--line);stroke-width:1}.zero{stroke:var(--muted);stroke-width:1."
    "2}\n",
    ".line,.mean,.kind{fill:none;stroke-linejoin:round;stroke-linecap:round}"
    ".line{stroke-width:1.3;opacity:.55}.kind{stroke-width:1.8}"
    ".mean{stroke:var(--ink);stroke-width:3}"
    "g:hover>.line{opacity:1;stroke-width:2.6}"
    ".band{fill:var(--muted);opacity:.18}"
    ".reference{stroke:var(--muted);stroke-width:1.6;stroke-dasharray:5 4}"
    ".dot{fill:currentColor}"
    ".bar{opacity:.85}.bar:hover{opacity:1}.plot{fill:var(--plot)}"
    ".cell{fill:var(--cell)}.hold{fill:var(--hold)}.size{fill:var(--muted);opacity:."
    "55}\n",
    ".k0{stroke:var(--k0);color:var(--k0)}.k1{stroke:var(--k1);color:var(--k1)}"
    ".k2{stroke:var(--k2);color:var(--k2)}.k3{stroke:var(--k3);color:var(--k3)}"
    ".k4{stroke:var(--k4);color:var(--k4)}.k5{stroke:var(--k5);color:var(--k5)}"
    ".k6{stroke:var(--k6);color:var(--k6)}.k7{stroke:var(--k7);color:var(--k7)}"
    ".bar,.mark{fill:currentColor;stroke:none}"
    ".whisker{stroke-width:1.6;fill:none}"
    ".d1{stroke-dasharray:7 3}.d2{stroke-dasharray:2 3}.d3{stroke-dasharray:8 3 2 3}\n",
    ".legend{display:flex;flex-wrap:wrap;gap:4px 18px;padding:0;margin:6px 0 12px;"
    "list-style:none;font-size:14px;color:var(--muted)}"
    ".legend li{display:flex;align-items:center;gap:7px;overflow-wrap:anywhere}"
    ".legend i{flex:none;width:18px;height:0;border-top:3px solid currentColor}"
    ".legend .mean{border-color:var(--ink)}"
    ".legend .reference{border-top:2px dashed var(--muted)}"
    ".legend svg{flex:none;width:18px}"
    ".legend .band{height:12px;border:0;background:var(--muted);opacity:.3}\n",
    ".scroll{overflow-x:auto}"
    "table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:"
    "tabular-nums}"
    "th,td{padding:5px 10px;text-align:right;border-bottom:1px solid var(--line);"
    "white-space:nowrap}"
    "th{color:var(--muted);font-weight:500}tr:last-child>td{border-bottom:0}"
    "th:first-child,td:first-child,.name{text-align:left}"
    "td.name{max-width:22em;overflow:hidden;text-overflow:ellipsis}"
    "thead .top th{border-bottom:0;padding-bottom:0;text-align:center}"
    ".strong td{font-weight:650}.good{color:var(--good)}.bad{color:var(--bad)}"
    "td.prose{white-space:normal;min-width:20em;text-align:left;overflow-wrap:anywhere}"
    ".fail{color:var(--bad);font-weight:650}.fail i{background:var(--bad)}"
    ".meter{width:30%;min-width:90px}.meter "
    "i{display:block;height:9px;border-radius:2px;"
    "background:var(--accent);opacity:.75}\n",
    "details{margin:12px 0}summary{cursor:pointer;font-size:15px;padding:4px 0}"
    "pre{margin:6px 0;padding:12px;overflow:auto;max-height:480px;font:13px/1.45 "
    "ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--plot);"
    "border-radius:8px}"
    ".said{margin:8px 0;padding-left:22px;max-width:66em;overflow-wrap:anywhere}.said "
    "li{margin:3px 0}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 18px;margin:8px 0;"
    "font-size:14px}dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}"
    "code{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}"
    ".none{color:var(--muted)}\n"
    "@media(max-width:520px){main{padding:20px 12px 32px}h1{font-size:22px}"
    ".lead{font-size:16px}.cards{grid-template-columns:1fr 1fr;gap:8px}.card "
    "b{font-size:20px}"
    "svg,.in{font-size:14px}.panel{padding:10px 6px 6px}"
    "figcaption{padding-left:6px}"
    "dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:8px}}\n"
    "@media print{.panel,.card{break-inside:avoid}}\n",
};

void
witan_html_style(witan_text *out)
{
    witan_text_format(out, "<style>\n");
    for (size_t i = 0; i < sizeof style / sizeof style[0]; i++) {
        witan_text_format(out, "%s", style[i]);
    }
    witan_text_format(out, "</style>\n");
}
