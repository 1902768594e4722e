/* test_node_files.c - the files of a client's directory: membership, settings, keys. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/shell/files.h"
#include "store/secret_file.h"
#include "support/witan_test.h"

static witan_membership
example(void)
{
    witan_membership it = {.client = 17};
    memset(it.coordinator.sign, 0x11, sizeof it.coordinator.sign);
    memset(it.coordinator.transport, 0x22, sizeof it.coordinator.transport);
    memset(it.psk, 0xa3, sizeof it.psk);
    (void)snprintf(it.endpoint, sizeof it.endpoint, "tcp://127.0.0.1:7700");
    (void)snprintf(it.name, sizeof it.name, "site-a");
    return it;
}

static const char *
fresh_directory(const char *name)
{
    const char *path = witan_test_path(name);
    witan_diag diag = {0};
    CHECK_STATUS(witan_secret_directory_make(path, &diag), WITAN_OK);
    CHECK_STRING(diag.message, "");
    return path;
}

static void
a_membership_reads_back(void)
{
    witan_membership it = example(), again;
    char text[WITAN_MEMBERSHIP_MAX];
    size_t size = 0;
    witan_diag diag = {0};
    witan_membership_format(&it, text, &size);
    CHECK(size > 200 && text[size - 1] == '\n');
    CHECK(strncmp(text, "WITAN-MEMBERSHIP-1\nendpoint tcp://127.0.0.1:7700\n", 48) ==
          0);
    CHECK_STATUS(witan_membership_parse(&again, text, size, &diag), WITAN_OK);
    CHECK(again.client == 17);
    CHECK_STRING(again.endpoint, it.endpoint);
    CHECK_STRING(again.name, "site-a");
    CHECK(memcmp(again.psk, it.psk, sizeof it.psk) == 0);
    CHECK(memcmp(&again.coordinator, &it.coordinator, sizeof it.coordinator) == 0);
}

static void
the_longest_membership_fits(void)
{
    witan_membership it = example(), again;
    char text[WITAN_MEMBERSHIP_MAX];
    size_t size = 0;
    memset(it.name, 'n', WITAN_NAME_MAX);
    memset(it.endpoint, 'h', WITAN_ENDPOINT_MAX);
    memcpy(it.endpoint, "tcp://", 6);
    memcpy(it.endpoint + WITAN_ENDPOINT_MAX - 6, ":65535", 6);
    it.client = (uint32_t)WITAN_CLIENTS_MAX - 1;
    witan_membership_format(&it, text, &size);
    CHECK(size < WITAN_MEMBERSHIP_MAX);
    /* The host's name is longer than DNS allows: refused, but not cut. */
    (void)!witan_membership_parse(&again, text, size, NULL);
    it.endpoint[60] = '.';
    it.endpoint[120] = '.';
    it.endpoint[180] = '.';
    it.endpoint[240] = '.';
    witan_membership_format(&it, text, &size);
    CHECK_STATUS(witan_membership_parse(&again, text, size, NULL), WITAN_OK);
    CHECK(strlen(again.endpoint) == WITAN_ENDPOINT_MAX);
}

static void
every_changed_byte_is_refused(void)
{
    witan_membership it = example(), again;
    const witan_membership none = {0};
    char text[WITAN_MEMBERSHIP_MAX];
    size_t size = 0;
    witan_membership_format(&it, text, &size);
    for (size_t i = 0; i < size; i++) {
        text[i] ^= 1;
        CHECK_STATUS(witan_membership_parse(&again, text, size, NULL), WITAN_E_DATA);
        CHECK(memcmp(&again, &none, sizeof none) == 0); /* no secret stays behind */
        text[i] ^= 1;
    }
    for (size_t cut = 0; cut < size; cut++) {
        CHECK_STATUS(witan_membership_parse(&again, text, cut, NULL), WITAN_E_DATA);
    }
    text[size] = '\n';
    witan_diag diag = {0};
    CHECK_STATUS(witan_membership_parse(&again, text, size + 1, &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "damaged");
}

static void
a_membership_file_is_secret(void)
{
    const char *directory = fresh_directory("secret");
    witan_membership it = example(), *again = NULL;
    char path[WITAN_PATH_MAX];
    struct stat info;
    witan_diag diag = {0};
    CHECK_STATUS(node_membership_load(&again, directory, &diag), WITAN_E_STATE);
    CHECK_CONTAINS(diag.message, "witan join");
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(node_membership_save(&it, directory, &diag), WITAN_OK);
    CHECK_STATUS(node_path(path, directory, NODE_MEMBERSHIP, &diag), WITAN_OK);
    CHECK(stat(path, &info) == 0 && (info.st_mode & 0777) == 0600);
    CHECK_STATUS(node_membership_load(&again, directory, &diag), WITAN_OK);
    CHECK(again != NULL && again->client == 17);
    void *secret = again;
    witan_secret_free(&secret);
    CHECK(chmod(path, 0644) == 0);
    CHECK_STATUS(node_membership_load(&again, directory, &diag), WITAN_E_REFUSED);
    CHECK(again == NULL);
    CHECK_CONTAINS(diag.message, "chmod");
}

static void
a_damaged_key_file_is_named(void)
{
    const char *directory = fresh_directory("keys");
    char path[WITAN_PATH_MAX];
    witan_identity *identity = NULL, *again = NULL;
    witan_diag diag = {0};
    CHECK_STATUS(node_identity_load(&again, directory, NODE_IDENTITY, &diag), WITAN_OK);
    CHECK(again == NULL); /* none yet */
    CHECK_STATUS(witan_identity_new(&identity), WITAN_OK);
    CHECK_STATUS(node_identity_save(identity, directory, NODE_IDENTITY, &diag),
                 WITAN_OK);
    CHECK_STATUS(node_identity_load(&again, directory, NODE_IDENTITY, &diag), WITAN_OK);
    CHECK(again != NULL &&
          memcmp(witan_identity_public(again), witan_identity_public(identity),
                 sizeof(witan_public_identity)) == 0);
    witan_identity_free(&again);
    CHECK_STATUS(node_path(path, directory, NODE_IDENTITY, &diag), WITAN_OK);
    CHECK_STATUS(
        witan_secret_file_write(path, "WITAN-SECRET-KEY-1\nnothing", 26, &diag),
        WITAN_OK);
    CHECK_STATUS(node_identity_load(&again, directory, NODE_IDENTITY, &diag),
                 WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, NODE_IDENTITY);
    witan_identity_free(&identity);
}

static void
settings_read_back(void)
{
    const char *directory = fresh_directory("settings");
    witan_node_settings it = {.test_fraction = 0.25}, again;
    witan_diag diag = {0};
    (void)snprintf(it.data, sizeof it.data, "/data/\"odd\" name\n.csv");
    (void)snprintf(it.format, sizeof it.format, "csv");
    (void)snprintf(it.label, sizeof it.label, "outcome");
    (void)snprintf(it.model, sizeof it.model, "mlp(20)");
    CHECK_STATUS(node_settings_save(&it, directory, witan_allocator_default(), &diag),
                 WITAN_OK);
    CHECK_STATUS(
        node_settings_load(&again, directory, witan_allocator_default(), &diag),
        WITAN_OK);
    CHECK_STRING(diag.message, "");
    CHECK_STRING(again.data, it.data);
    CHECK_STRING(again.format, "csv");
    CHECK_STRING(again.label, "outcome");
    CHECK_STRING(again.model, "mlp(20)");
    CHECK(again.test_fraction == 0.25);
}

static void
refuse_settings(const char *directory, const char *json, const char *part)
{
    char path[WITAN_PATH_MAX];
    witan_node_settings out;
    witan_diag diag = {0};
    CHECK_STATUS(node_path(path, directory, NODE_SETTINGS, &diag), WITAN_OK);
    witan_test_write(path, json, strlen(json));
    CHECK_STATUS(node_settings_load(&out, directory, witan_allocator_default(), &diag),
                 WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, part);
    CHECK_CONTAINS(diag.message, NODE_SETTINGS);
}

static void
odd_settings_are_refused(void)
{
    const char *directory = fresh_directory("odd");
    refuse_settings(directory, "[]", "not a JSON object");
    refuse_settings(directory, "{\"data\": \"x\"} rest", "not a JSON object");
    refuse_settings(directory, "{\"dat\": \"x\"}", "\"dat\" is not known");
    refuse_settings(directory, "{\"data\": 3}", "data: use a text");
    refuse_settings(directory, "{\"format\": \"parquet\"}", "format");
    refuse_settings(directory, "{\"test_fraction\": 1e999}", "test_fraction");
    refuse_settings(directory, "{\"test_fraction\": 1}", "between 0 and 1");
    refuse_settings(directory, "{\"test_fraction\": \"a\"}", "use a number");
    refuse_settings(directory, "{\"model\": \"mpl\"}", "mlp");
    refuse_settings(directory, "{\"format\": \"aaaaaaaaaaaaaaaaaaaaaaaaa\"}",
                    "at most 15 bytes");
}

static void
settings_survive_every_failing_allocation(void)
{
    const char *directory = fresh_directory("memory");
    witan_node_settings it = {.test_fraction = 0.2}, again;
    bool done = false;
    for (size_t fail_at = 1; !done && fail_at < 100; fail_at++) {
        witan_failing_allocator failing;
        witan_diag diag = {0};
        witan_failing_allocator_init(&failing, fail_at);
        witan_status status =
            node_settings_save(&it, directory, &failing.allocator, &diag);
        if (status == WITAN_OK) {
            status = node_settings_load(&again, directory, &failing.allocator, &diag);
        }
        CHECK(failing.live == 0);
        CHECK(status == WITAN_OK || diag.message[0] != '\0');
        done = status == WITAN_OK && failing.allocations < fail_at;
    }
    CHECK(done);
}

int
main(void)
{
    RUN(a_membership_reads_back);
    RUN(the_longest_membership_fits);
    RUN(every_changed_byte_is_refused);
    RUN(a_membership_file_is_secret);
    RUN(a_damaged_key_file_is_named);
    RUN(settings_read_back);
    RUN(odd_settings_are_refused);
    RUN(settings_survive_every_failing_allocation);
    return witan_test_finish();
}
