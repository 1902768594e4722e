/* test_node_life.c - what happens to a client beside learning: joining twice or
 * wrongly, the doctor, stopping, revocation, new keys, a coordinator that goes away,
 * private data, damaged files. */
#include <sys/stat.h>

#include "client/shell/files.h"
#include "node_host.h"

/* Long enough to be interrupted. */
#define LONG                                                                           \
    "rounds=400", "clients=2", "data.limit=300", "transfer.samples=30",                \
        "models=linear", "round.absence=0", "round.minimum_clients=1"

static const char *const long_run[] = {LONG, NULL};

static void
check_code(pid_t pid, witan_status expected)
{
    CHECK_STATUS(host_wait(pid), (int)expected);
}

static void
end_server(const host *federation)
{
    (void)kill(federation->server, SIGTERM);
    host_pause_ms(50); /* signals of one number do not add up */
    CHECK_STATUS(host_stop_process(federation->server, SIGTERM), WITAN_E_INTERRUPTED);
}

static bool
is_good(const witan_finding *findings, size_t count, const char *what, const char *part)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(findings[i].what, what) == 0) {
            return findings[i].level == WITAN_FINDING_GOOD &&
                   strstr(findings[i].text, part) != NULL;
        }
    }
    return false;
}

static size_t
bad_findings(const witan_finding *findings, size_t count)
{
    size_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        bad += findings[i].level == WITAN_FINDING_BAD;
        if (findings[i].level != WITAN_FINDING_GOOD) {
            (void)fprintf(stderr, "    %s: %s\n", findings[i].what, findings[i].text);
        }
    }
    return bad;
}

static void
join_lines_are_for_one(void)
{
    host federation;
    host_client client, thief;
    char line[WITAN_JOIN_LINE_MAX], mine[WITAN_JOIN_LINE_MAX];
    witan_enrolment first, again;
    witan_diag diag = {0};
    host_start(&federation, "join", long_run);
    host_place(&federation, 0, &client);
    host_place(&federation, 7, &thief);
    host_invite(&federation, 0, false, line);
    memcpy(mine, line, sizeof mine);
    CHECK_STATUS(host_enrol(&client, mine, NULL, &first, &diag), WITAN_OK);
    CHECK_STATUS(host_enrol(&client, mine, NULL, &again, &diag), WITAN_OK);
    CHECK(again.client == 0 && strcmp(again.name, "site-0") == 0);
    CHECK_STRING(again.fingerprint, first.fingerprint);
    CHECK_STATUS(host_enrol(&thief, line, NULL, &again, &diag), WITAN_E_REFUSED);
    CHECK_CONTAINS(diag.message, "other keys");
    /* A line that was replaced opens no door. */
    char old[WITAN_JOIN_LINE_MAX];
    host_invite(&federation, 1, false, old);
    host_invite(&federation, 1, false, line);
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(host_enrol(&thief, old, NULL, &again, &diag), WITAN_E_REFUSED);
    CHECK_CONTAINS(diag.message, "witan invite");
    CHECK_STATUS(host_enrol(&thief, line, NULL, &again, &diag), WITAN_OK);
    /* Another federation's line does not take this directory over. */
    witan_join_line other;
    CHECK_STATUS(witan_join_line_parse(&other, line, strlen(line), &diag), WITAN_OK);
    other.coordinator.sign[0] ^= 1;
    witan_join_line_format(&other, line);
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(host_enrol(&client, line, NULL, &again, &diag), WITAN_E_STATE);
    CHECK_CONTAINS(diag.message, "another federation");
    end_server(&federation);
    /* Nobody answers. */
    const witan_node_settings settings = {.test_fraction = 0.2};
    witan_node_options options = host_node_options(&client);
    options.give_up_ms = 300;
    CHECK_STATUS(witan_join_line_parse(&other, mine, strlen(mine), &diag), WITAN_OK);
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_node_enrol(&options, &other, &settings, &again,
                                  witan_allocator_default(), &diag),
                 WITAN_E_UNREACHABLE);
    CHECK_CONTAINS(diag.message, "firewall");
    CHECK_STATUS(witan_node_run(&options, witan_allocator_default(), &diag),
                 WITAN_E_UNREACHABLE);
}

static void
the_doctor_looks(void)
{
    host federation;
    host_client client, nobody;
    witan_finding findings[WITAN_FINDINGS_MAX];
    size_t count = 0;
    host_start(&federation, "doctor", long_run);
    host_join(&federation, 0, NULL, &client);
    witan_node_options options = host_node_options(&client);
    witan_node_examine(&options, findings, &count, witan_allocator_default());
    CHECK(bad_findings(findings, count) == 0);
    CHECK(is_good(findings, count, "keys", "site-0 is client 0"));
    CHECK(is_good(findings, count, "reachability", "127.0.0.1"));
    CHECK(is_good(findings, count, "session", "knows this client"));
    CHECK(is_good(findings, count, "clock", "agrees"));
    CHECK(is_good(findings, count, "plan", "400 rounds, strategy knfu"));
    CHECK(is_good(findings, count, "data", "practice data"));
    CHECK(is_good(findings, count, "disk", "enough"));
    CHECK(!node_file_exists(client.directory, NODE_TRANSFER)); /* changed nothing */
    /* A running client is not disturbed. */
    host_start_client(&client);
    CHECK(host_said(client.lines, "learned from", 2));
    witan_node_examine(&options, findings, &count, witan_allocator_default());
    CHECK(is_good(findings, count, "running", "\"connected\": true"));
    CHECK(bad_findings(findings, count) == 0 &&
          !is_good(findings, count, "session", ""));
    CHECK_STATUS(host_stop_process(client.pid, SIGTERM), WITAN_E_INTERRUPTED);
    host_place(&federation, 9, &nobody);
    options = host_node_options(&nobody);
    witan_node_examine(&options, findings, &count, witan_allocator_default());
    CHECK(count == 1 && findings[0].level == WITAN_FINDING_BAD);
    CHECK_CONTAINS(findings[0].text, "witan join");
    end_server(&federation);
    options = host_node_options(&client);
    witan_node_examine(&options, findings, &count, witan_allocator_default());
    CHECK(bad_findings(findings, count) == 1);
}

static void
a_client_stops_and_goes_on(void)
{
    host federation;
    host_client client;
    char path[HOST_PATH];
    host_start(&federation, "stops", long_run);
    host_join(&federation, 0, NULL, &client);
    host_start_client(&client);
    CHECK(host_said(client.lines, "learned from", 3));
    CHECK_STATUS(host_stop_process(client.pid, SIGTERM), WITAN_E_INTERRUPTED);
    CHECK(host_said(client.lines, "stopped; start again", 1));
    /* The transfer set's bytes change, another part of it lies about: fetched again. */
    host_print(path, sizeof path, "%s/" NODE_TRANSFER, client.directory);
    size_t size = 0;
    char *bytes = witan_test_read(path, &size);
    CHECK(bytes != NULL && size > 100);
    bytes[size - 1] ^= 1;
    witan_test_write(path, bytes, size);
    host_print(path, sizeof path, "%s/" NODE_TRANSFER_PART, client.directory);
    bytes[0] ^= 1;
    witan_test_write(path, bytes, size);
    free(bytes);
    host_start_client(&client);
    CHECK(host_said(client.lines, "going on from the saved state", 1));
    CHECK(host_said(client.lines, "fetching the transfer set", 2));
    /* The coordinator is killed and comes back: nobody has to look after the client. */
    CHECK(host_said(client.lines, "learned from", 5));
    CHECK(host_stop_process(federation.server, SIGKILL) == 1000 + SIGKILL);
    CHECK(host_said(client.lines, "connection lost, next try in", 1));
    host_start_server(&federation);
    CHECK(host_said(client.lines, "connected to", 3));
    CHECK(host_said(client.lines, "learned from", 9));
    CHECK_STATUS(host_stop_process(client.pid, SIGTERM), WITAN_E_INTERRUPTED);
    end_server(&federation);
}

static void
a_revoked_client_is_told(void)
{
    host federation;
    host_client client;
    witan_peer peer;
    witan_diag diag = {0};
    host_start(&federation, "revoked", long_run);
    host_join(&federation, 0, NULL, &client);
    host_start_client(&client);
    CHECK(host_said(client.lines, "learned from", 1));
    witan_ledger *ledger = host_ledger(&federation);
    CHECK_STATUS(witan_ledger_peer(ledger, "site-0", &peer, &diag), WITAN_OK);
    CHECK_STATUS(
        witan_ledger_peer_set_state(ledger, peer.sign_key, WITAN_PEER_REVOKED, &diag),
        WITAN_OK);
    witan_ledger_close(&ledger);
    check_code(client.pid, WITAN_E_REFUSED);
    CHECK(host_said(client.lines, "revoked this client", 1));
    end_server(&federation);
}

static void
an_approval_is_awaited(void)
{
    host federation;
    host_client client;
    char line[WITAN_JOIN_LINE_MAX];
    witan_enrolment enrolment;
    witan_peer peer;
    witan_diag diag = {0};
    host_start(&federation, "approval", long_run);
    host_place(&federation, 1, &client);
    host_invite(&federation, 1, true, line);
    CHECK_STATUS(host_enrol(&client, line, NULL, &enrolment, &diag), WITAN_OK);
    CHECK(!enrolment.approved);
    host_start_client(&client);
    CHECK(host_said(client.lines, "witan peers approve site-1", 1));
    witan_ledger *ledger = host_ledger(&federation);
    CHECK_STATUS(witan_ledger_peer(ledger, "site-1", &peer, &diag), WITAN_OK);
    CHECK_STATUS(
        witan_ledger_peer_set_state(ledger, peer.sign_key, WITAN_PEER_APPROVED, &diag),
        WITAN_OK);
    witan_ledger_close(&ledger);
    CHECK(host_said(client.lines, "learned from", 1));
    CHECK_STATUS(host_stop_process(client.pid, SIGTERM), WITAN_E_INTERRUPTED);
    end_server(&federation);
}

static void
the_key_is_changed(void)
{
    host federation;
    host_client client;
    witan_identity *before = NULL, *after = NULL;
    witan_peer peer;
    witan_diag diag = {0};
    host_start(&federation, "rotation", long_run);
    host_join(&federation, 0, NULL, &client);
    CHECK_STATUS(node_identity_load(&before, client.directory, NODE_IDENTITY, &diag),
                 WITAN_OK);
    host_start_client(&client);
    CHECK(host_said(client.lines, "learned from", 1));
    witan_ledger *ledger = host_ledger(&federation);
    CHECK_STATUS(witan_ledger_peer(ledger, "site-0", &peer, &diag), WITAN_OK);
    CHECK_STATUS(witan_ledger_peer_ask_rotation(ledger, peer.sign_key, &diag),
                 WITAN_OK);
    CHECK(host_said(federation.coordinator_lines, "new transport key", 1));
    /* Asked at its next session. */
    CHECK_STATUS(host_stop_process(client.pid, SIGTERM), WITAN_E_INTERRUPTED);
    host_start_client(&client);
    CHECK(host_said(client.lines, "transport key changed", 1));
    CHECK_STATUS(node_identity_load(&after, client.directory, NODE_IDENTITY, &diag),
                 WITAN_OK);
    const witan_public_identity *old = witan_identity_public(before);
    const witan_public_identity *new = witan_identity_public(after);
    CHECK(memcmp(old->sign, new->sign, WITAN_KEY_SIZE) == 0 &&
          memcmp(old->transport, new->transport, WITAN_KEY_SIZE) != 0);
    CHECK(!node_file_exists(client.directory, NODE_IDENTITY_NEW));
    CHECK_STATUS(witan_ledger_peer(ledger, "site-0", &peer, &diag), WITAN_OK);
    CHECK(memcmp(peer.transport_key, new->transport, WITAN_KEY_SIZE) == 0 &&
          !peer.must_rotate);
    witan_ledger_close(&ledger);
    CHECK(host_said(client.lines, "learned from", 4));
    CHECK_STATUS(host_stop_process(client.pid, SIGTERM), WITAN_E_INTERRUPTED);
    /* A key that was made but never announced is announced; the old one opens. */
    witan_identity *next = NULL;
    char text[WITAN_KEY_FILE_MAX];
    size_t size = 0;
    witan_identity_format(after, text, &size);
    CHECK_STATUS(witan_identity_parse(&next, text, size, &diag), WITAN_OK);
    CHECK_STATUS(witan_identity_rotate(next), WITAN_OK);
    CHECK_STATUS(node_identity_save(next, client.directory, NODE_IDENTITY_NEW, &diag),
                 WITAN_OK);
    host_start_client(&client);
    CHECK(host_said(client.lines, "transport key changed", 2));
    CHECK_STATUS(host_stop_process(client.pid, SIGTERM), WITAN_E_INTERRUPTED);
    CHECK(!node_file_exists(client.directory, NODE_IDENTITY_NEW));
    witan_identity_free(&before);
    witan_identity_free(&after);
    witan_identity_free(&next);
    end_server(&federation);
}

/* Rows of 64 numbers in 0..16 as the embedded digits have them, as files of the IDX
 * format: bytes, 8 x 8. */
static void
write_digits(const char *directory, uint8_t rows, uint8_t height)
{
    static uint8_t images[16 + 255 * 64], labels[8 + 255];
    const uint8_t images_header[16] = {0, 0, 8, 3,      0, 0, 0, rows,
                                       0, 0, 0, height, 0, 0, 0, 8};
    const uint8_t labels_header[8] = {0, 0, 8, 1, 0, 0, 0, rows};
    char path[HOST_PATH];
    size_t size = 16 + (size_t)rows * height * 8;
    memcpy(images, images_header, sizeof images_header);
    memcpy(labels, labels_header, sizeof labels_header);
    for (size_t i = 16; i < size; i++) {
        images[i] = (uint8_t)((i * 2654435761u >> 11) % 17);
    }
    for (size_t i = 8; i < (size_t)8 + rows; i++) {
        labels[i] = (uint8_t)(i % 10);
    }
    CHECK_STATUS(witan_directory_make(directory, NULL), WITAN_OK);
    host_print(path, sizeof path, "%s/train-images-idx3-ubyte", directory);
    witan_test_write(path, images, size);
    host_print(path, sizeof path, "%s/train-labels-idx1-ubyte", directory);
    witan_test_write(path, labels, (size_t)8 + rows);
}

static void
private_data_stay_where_they_are(void)
{
    static const char *const settings[] = {"rounds=2",
                                           "clients=2",
                                           "data.limit=300",
                                           "transfer.samples=30",
                                           "models=linear",
                                           "round.absence=0",
                                           "round.minimum_clients=2",
                                           NULL};
    host federation;
    host_client client[2];
    char path[HOST_PATH];
    witan_node_settings data = {
        .test_fraction = 0.25, .format = "idx", .model = "mlp(6)"};
    host_start(&federation, "private", settings);
    host_print(data.data, sizeof data.data, "%s/digits", federation.root);
    write_digits(data.data, 120, 8);
    host_join(&federation, 0, &data, &client[0]);
    host_join(&federation, 1, NULL, &client[1]);
    host_start_client(&client[0]);
    host_start_client(&client[1]);
    check_code(client[0].pid, WITAN_OK);
    check_code(client[1].pid, WITAN_OK);
    CHECK(host_said(client[0].lines, "taking part with mlp(6) and 90 private rows", 1));
    CHECK(host_said(client[0].lines, "learned from others, own accuracy", 2));
    host_print(path, sizeof path, "%s/" NODE_MODEL, client[0].directory);
    CHECK(witan_path_exists(path));
    CHECK_STATUS(host_wait(federation.server), WITAN_OK);
    witan_ledger *ledger = host_ledger(&federation);
    witan_result_row *rows = NULL;
    size_t count = 0;
    CHECK_STATUS(witan_ledger_results(ledger, 1, &rows, &count, NULL), WITAN_OK);
    CHECK(count == 2 && rows[0].own_after[0] >= 0.0 &&
          rows[0].global_after[0] != rows[0].global_after[0] && /* not known */
          rows[1].global_after[0] > 0.0);
    witan_free(witan_allocator_default(), rows);
    witan_ledger_close(&ledger);
}

static void
data_of_another_shape_are_refused(void)
{
    host federation;
    host_client client;
    witan_node_settings data = {.test_fraction = 0.25, .format = "idx"};
    witan_finding findings[WITAN_FINDINGS_MAX];
    size_t count = 0;
    host_start(&federation, "shape", long_run);
    host_print(data.data, sizeof data.data, "%s/digits", federation.root);
    write_digits(data.data, 50, 9);
    host_join(&federation, 0, &data, &client);
    const witan_node_options options = host_node_options(&client);
    witan_node_examine(&options, findings, &count, witan_allocator_default());
    CHECK(bad_findings(findings, count) == 1);
    CHECK_CONTAINS(findings[count - 1].text, "rows of 9x8x1");
    host_start_client(&client);
    check_code(client.pid, WITAN_E_DATA);
    CHECK(host_said(client.lines, "the transfer set of 8x8x1", 1));
    /* A directory that others can read is not used. */
    CHECK(chmod(client.directory, 0755) == 0);
    host_start_client(&client);
    check_code(client.pid, WITAN_E_REFUSED);
    CHECK(host_said(client.lines, "chmod 700", 1));
    end_server(&federation);
}

int
main(void)
{
    if (witan_secure_start(NULL) != WITAN_OK) {
        return 1;
    }
    RUN(join_lines_are_for_one);
    RUN(the_doctor_looks);
    RUN(a_client_stops_and_goes_on);
    RUN(a_revoked_client_is_told);
    RUN(an_approval_is_awaited);
    RUN(the_key_is_changed);
    RUN(private_data_stay_where_they_are);
    RUN(data_of_another_shape_are_refused);
    return witan_test_finish();
}
