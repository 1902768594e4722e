/* docs/config.md is what the table says. `test_config_document --write` rewrites it. */
#include <stdio.h>
#include <stdlib.h>

#include "config_support.h"

static const char path[] = WITAN_TEST_SOURCE_DIR "/docs/config.md";

static witan_text
document(void)
{
    witan_text text;
    witan_text_init(&text, witan_allocator_default(), (size_t)1 << 20);
    witan_config_document(&text);
    CHECK_STATUS(text.status, WITAN_OK);
    return text;
}

static void
committed_document_is_current(void)
{
    witan_text text = document();
    char *committed = witan_test_read(path, NULL);
    if (!CHECK(committed != NULL && strcmp(committed, text.data) == 0)) {
        fprintf(stderr, "docs/config.md differs from the table; regenerate it with\n"
                        "  build-dev/tests/unit/config/test_config_document --write\n");
    }
    free(committed);
    witan_text_fini(&text);
}

static void
document_names_all(void)
{
    witan_text text = document();
    static const char *const parts[] = {
        "| `seed` | `1` | 0 to 9007199254740991 |",
        "| `data.partition.alpha` | `0.5` | 1e-06 to 1000000 |",
        "| `transfer.path` | empty |",
        "| `fusion.key` | `knfu` | local, mean, knfu, fedavg, centralised |",
        "| `participation` | `1` | above 0, at most 1 |",
        "| `convolution` | `filters` (1 to 65536; required), `kernel` (1 to 65536; "
        "required), `stride` (1 to 65536; 1), `padding` (0 to 65536; 0) |",
        "| `max-pool` | `kernel` (1 to 65536; required), `stride` (1 to 65536; as "
        "kernel)",
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        CHECK_CONTAINS(text.data, parts[i]);
    }
    witan_text_fini(&text);
}

int
main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--write") == 0) {
        witan_text text = document();
        witan_test_write(path, text.data, text.length);
        witan_text_fini(&text);
        return 0;
    }
    RUN(committed_document_is_current);
    RUN(document_names_all);
    return witan_test_finish();
}
