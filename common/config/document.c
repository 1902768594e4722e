/* document.c - docs/config.md from the table. */
#include <string.h>

#include "config/models.h"

static const char introduction[] =
    "# Configuration\n"
    "\n"
    "<!-- Generated from common/config/table.c by test_config_document --write. -->\n"
    "\n"
    "An experiment is one JSON file. Every key has a default; a file holds only what "
    "it\n"
    "changes. The dots of a key stand for objects inside objects:\n"
    "\n"
    "```json\n"
    "{\n"
    "  \"_comment\": \"names that start with _ are ignored\",\n"
    "  \"rounds\": 20,\n"
    "  \"models\": [\"linear\", \"mlp(200)\"],\n"
    "  \"fusion\": {\"key\": \"knfu\", \"beta\": 5}\n"
    "}\n"
    "```\n"
    "\n"
    "On the command line `--set fusion.beta=5` changes one key after the file was "
    "read.\n"
    "Its value is JSON, or a bare word for text and choices, or bare words separated "
    "by\n"
    "commas for models: `--set fusion.key=mean`, `--set models=linear,mlp(256,128)`\n"
    "(commas inside parentheses do not separate).\n"
    "\n"
    "- Unknown keys, repeated keys, wrong types and values out of range are errors "
    "that\n"
    "  name the file, the key and the nearest known word. Nothing is silently "
    "ignored.\n"
    "- Integers go up to 2^53 - 1 (9007199254740991), the largest that JSON numbers "
    "carry\n"
    "  exactly; that holds for the seed too.\n"
    "- A file is UTF-8 text of at most 1 MiB. Texts hold no control characters.\n"
    "- Errors in the grammar are told as file:line:column; columns count bytes.\n"
    "- The resolved configuration that a run writes holds every key and reads back to "
    "the\n"
    "  same values, bit for bit.\n"
    "\n";

static const char combinations[] =
    "## Combinations\n"
    "\n"
    "Refused before a run starts:\n"
    "\n"
    "- `fusion.key` `fedavg` with more than one entry in `models`.\n"
    "- `fusion.key` `mean` or `knfu` with `transfer.samples` 0, unless `transfer.path` "
    "is\n"
    "  given or `data.partition.key` is `file`.\n"
    "- `fusion.include_self` false under `knfu` with a single client.\n"
    "- `data.partition.key` `file` without `data.partition.path`.\n"
    "- `data.format` other than `auto` and `embedded` without `data.path`; `embedded` "
    "with\n"
    "  a path; the same for `transfer`, where `embedded` is never possible.\n"
    "- `participation` that asks less than one client; `round.minimum_clients` above "
    "the\n"
    "  number that is asked.\n"
    "- `swing.noise` without `swing.sigma`, or the reverse; `swing.label` `votes` "
    "without\n"
    "  `swing.shards` of 2 or more and gaussian noise; `swing.shards` 1;\n"
    "  `swing.temperature_high` below `extract.temperature` when rows are scored; "
    "swing or\n"
    "  `extract.codec` `top` with `fusion.combine` `logit`.\n"
    "- Models of tokens and of features in one experiment; models of tokens with "
    "another\n"
    "  `distill.loss` than `kl`.\n"
    "- `round.late` `keep` without `round.deadline`.\n"
    "- `local.schedule.minimum_lr` above `local.optimizer.lr` under `cosine`.\n";

static void
document_key(witan_text *out, const witan_config_key *key)
{
    char range[256];
    witan_config_key_range(key, range, sizeof range);
    witan_text_format(out, "| `%s` | %s%s%s | %s%s%s | %s |\n", key->path,
                      key->initial[0] == '\0' ? "" : "`",
                      key->initial[0] == '\0' ? "empty" : key->initial,
                      key->initial[0] == '\0' ? "" : "`", range,
                      key->unit[0] == '\0' ? "" : " ", key->unit, key->help);
}

void
witan_config_document(witan_text *out)
{
    size_t count;
    const witan_config_key *keys = witan_config_keys(&count);
    const char *before = NULL;

    witan_text_add(out, introduction, strlen(introduction));
    for (size_t i = 0; i < count; i++) {
        size_t length = strcspn(keys[i].path, ".");
        bool top = keys[i].path[length] == '\0';
        const char *section = top ? "" : keys[i].path;
        bool same = before != NULL && (top ? before[0] == '\0'
                                           : strncmp(before, section, length + 1) == 0);
        if (!same) {
            witan_text_format(out, "%s## %.*s\n\n", i == 0 ? "" : "\n",
                              top ? 9 : (int)length, top ? "top level" : section);
            witan_text_format(out, "| key | default | values | meaning |\n"
                                   "|---|---|---|---|\n");
        }
        document_key(out, &keys[i]);
        before = section;
    }
    witan_text_format(
        out,
        "\n## Models\n\n"
        "An entry of `models` is a name or an object. Names, with numbers in\n"
        "parentheses: `linear`; `mlp(200)` or `mlp(256,128)`, the widths of the\n"
        "hidden layers; `lenet`; `cnn(32,64,128)`, two convolutions and a dense\n"
        "layer; `resnet(16,1)`, width and blocks per stage. Of text: `lstm(128,1)`\n"
        "and `gru(128,1)`, width and layers; `transformer(128,4,4)`, width, blocks\n"
        "and heads; a last number is the longest window.\n\n"
        "An object lists its layers; a dense layer with one unit per class is\n"
        "added at the end:\n\n"
        "```json\n"
        "{\"name\": \"my-net\", \"layers\": [\n"
        "  {\"kind\": \"convolution\", \"filters\": 16, \"kernel\": 3, "
        "\"padding\": 1},\n"
        "  {\"kind\": \"relu\"},\n"
        "  {\"kind\": \"max-pool\", \"kernel\": 2},\n"
        "  {\"kind\": \"residual\", \"layers\": [\n"
        "    {\"kind\": \"convolution\", \"filters\": 16, \"kernel\": 3, "
        "\"padding\": 1},\n"
        "    {\"kind\": \"relu\"}]},\n"
        "  {\"kind\": \"dense\", \"units\": 64}]}\n"
        "```\n\n");
    witan_config_document_layers(out);
    witan_text_format(out, "\nThe padding must be smaller than the kernel.\n\n%s",
                      combinations);
}
