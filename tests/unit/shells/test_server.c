/* test_server.c - the coordinator daemon over real sockets: who may enrol, what a round
 * is, and how it is taken up again after every phase. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/ledger.h"
#include "test_server_robot.h"

/* --- enrolment -------------------------------------------------------------------- */

static void
enrolment(void)
{
    host where;
    robot one, two, three;
    witan_join_line line, unknown;
    host_init(&where, "enrolment");
    robot_init(&one, "site-a");
    robot_init(&two, "site-b");
    robot_init(&three, "site-c");
    if (!host_start(&where)) {
        return;
    }
    line = host_invite_name(&where, "site-a");
    CHECK(robot_enrol(&one, &line));
    CHECK(one.seat == 0);
    CHECK_STRING(one.heard.is.enrolled.name, "site-a");
    CHECK(one.heard.is.enrolled.approved);
    CHECK(robot_enrol(&one, &line)); /* repeated by its owner */
    CHECK(!robot_enrol(&two, &line));
    CHECK(two.heard.is.refused.reason == WITAN_REASON_TOKEN_USED);
    CHECK(host_waits_to_say(&where, "ALARM: the invitation for site-a"));
    CHECK(host_has_event(&where, "token-reused"));

    unknown = line; /* a line that this coordinator never made */
    witan_join_line_draw(&unknown);
    robot_disconnect(&two);
    two.line = unknown;
    CHECK(robot_connect(&two, true) != WITAN_LINK_OPEN);

    line = host_invite_name(&where, "site-b");
    atomic_store(&host_calendar_s, 3 * 3600 + 3600 + 5);
    CHECK(!robot_enrol(&two, &line));
    CHECK(two.heard.is.refused.reason == WITAN_REASON_TOKEN_EXPIRED);
    CHECK_CONTAINS(two.heard.is.refused.text, "expired 3 h ago");
    CHECK_CONTAINS(two.heard.is.refused.text, "witan invite site-b");
    atomic_store(&host_calendar_s, 0);
    CHECK(robot_enrol(&two, &line));
    CHECK(two.seat == 1);
    robot_fini(&one);
    robot_fini(&two);
    robot_fini(&three);
    CHECK_STATUS(host_stop(&where, 1), WITAN_E_INTERRUPTED);
    host_fini(&where);
}

/* An invitation and a pending peer. */
static void
seats_and_approval(void)
{
    host where;
    robot one, two;
    witan_join_line line, first;
    witan_diag diag = {0};
    host_init(&where, "approval");
    host_set(&where, "clients=1");
    host_set(&where, "round.minimum_clients=1");
    host_set(&where, "fusion.key=mean");
    robot_init(&one, "site-a");
    robot_init(&two, "site-b");
    if (!host_start(&where)) {
        return;
    }
    witan_invite_options options = {.name = "site-a",
                                    .ttl_s = 3600,
                                    .seat = 0,
                                    .confirm = true,
                                    .now_s = host_wall_s(NULL)};
    CHECK_STATUS(host_invite(&where, &options, &first, &diag), WITAN_OK);
    options.name = "site-b";
    CHECK_STATUS(host_invite(&where, &options, &line, &diag), WITAN_E_STATE);
    options.name = "site b";
    CHECK_STATUS(host_invite(&where, &options, &line, NULL), WITAN_E_CONFIG);
    options.name = "site-b";
    options.seat = WITAN_SEAT_ANY;
    options.ttl_s = 59;
    CHECK_STATUS(host_invite(&where, &options, &line, NULL), WITAN_E_CONFIG);

    CHECK(robot_enrol(&one, &first));
    CHECK(!one.heard.is.enrolled.approved);
    CHECK(!robot_attach(&one));
    CHECK(one.heard.is.refused.reason == WITAN_REASON_NOT_APPROVED);
    CHECK(one.heard.is.refused.retry_after_ms == 5000);
    witan_ledger *ledger = host_ledger(&where);
    CHECK_STATUS(witan_ledger_peer_set_state(ledger,
                                             witan_identity_public(one.identity)->sign,
                                             WITAN_PEER_APPROVED, &diag),
                 WITAN_OK);
    witan_ledger_close(&ledger);
    CHECK(host_waits_to_say(&where, "site-a was approved"));
    CHECK(robot_attach(&one));
    CHECK(one.heard.kind == WITAN_PACKET_PLAN);
    CHECK(one.heard.is.plan.embedded_data && one.heard.is.plan.has_transfer);
    CHECK(one.heard.is.plan.classes == 10 && one.heard.is.plan.transfer_rows == 2000);
    CHECK_CONTAINS(one.heard.is.plan.experiment, "\"rounds\": 2");
    robot_fini(&one);
    robot_fini(&two);
    CHECK_STATUS(host_stop(&where, 1), WITAN_E_INTERRUPTED);
    host_fini(&where);
}

/* --- rounds ----------------------------------------------------------------------- */

static bool
whole_round(host *where, robot *one, robot *two, uint32_t round)
{
    return CHECK(robot_hear(one, WITAN_PACKET_OPEN, ROBOT_HEAR_MS)) &&
           CHECK(one->heard.is.open.round == round) &&
           CHECK(robot_hear(two, WITAN_PACKET_OPEN, ROBOT_HEAR_MS)) &&
           CHECK(robot_upload(one, round, where->rows)) &&
           CHECK(robot_upload(two, round, where->rows)) &&
           CHECK(robot_fetch_fused(one, round)) &&
           CHECK(robot_fetch_fused(two, round)) &&
           (robot_done(one, round), robot_done(two, round), true);
}

/* Both hear that it is over, and say that they did. */
static void
finish(host *where, robot *one, robot *two)
{
    const witan_packet bye = {.kind = WITAN_PACKET_BYE};
    for (int i = 0; i < 2; i++) {
        robot *each = i == 0 ? one : two;
        CHECK(robot_hear(each, WITAN_PACKET_BYE, ROBOT_HEAR_MS));
        CHECK(each->heard.is.bye.finished);
        robot_say(each, &bye);
    }
    CHECK_STATUS(host_wait(where), WITAN_OK);
}

static char uninterrupted[512];

static void
two_rounds(void)
{
    host where;
    robot one, two;
    host_init(&where, "rounds");
    robot_init(&one, "site-a");
    robot_init(&two, "site-b");
    if (!host_start(&where) || !robot_join(&one, &where)) {
        return;
    }
    CHECK(host_waits_to_say(&where, "waiting for clients: 1 of at least 2 present"));
    CHECK(robot_join(&two, &where));
    CHECK(whole_round(&where, &one, &two, 0));
    CHECK(whole_round(&where, &one, &two, 1));
    finish(&where, &one, &two);
    CHECK(host_has_said(&where, "round 1 of 2: open, 2 asked"));
    CHECK(host_has_said(&where, "round 2: fused 2 of 2"));
    CHECK(host_has_said(&where, "finished: 2 rounds"));
    host_exchanges(&where, uninterrupted, sizeof uninterrupted);
    CHECK(strlen(uninterrupted) > 140);
    witan_result_row *results = NULL;
    size_t count = 0;
    witan_ledger *ledger = host_ledger(&where);
    CHECK_STATUS(witan_ledger_results(ledger, 1, &results, &count, NULL), WITAN_OK);
    CHECK(count == 2);
    CHECK(count == 2 && results[0].bytes_up > 80000 && results[1].bytes_down > 80000);
    witan_free(witan_allocator_default(), results);
    witan_ledger_close(&ledger);
    CHECK(host_start(&where)); /* nothing is left to do but to say so */
    (void)snprintf(one.line.endpoint, sizeof one.line.endpoint, "%s", where.endpoint);
    CHECK(!robot_attach(&one));
    CHECK(one.heard.kind == WITAN_PACKET_BYE && one.heard.is.bye.finished);
    CHECK_STATUS(host_stop(&where, 1), WITAN_OK);
    robot_fini(&one);
    robot_fini(&two);
    host_fini(&where);
}

/* Stops the coordinator at once and starts another one on its directory. */
static bool
restart(host *where, robot *one, robot *two)
{
    uint64_t since = host_now_ms();
    CHECK_STATUS(host_stop(where, 2), WITAN_E_INTERRUPTED);
    if (!host_start(where)) {
        return false;
    }
    (void)printf("    ready again after %u ms\n", (unsigned)(host_now_ms() - since));
    return robot_join(one, where) && robot_join(two, where);
}

/* One round with a restart after each thing that happens in it. */
static bool
interrupted_round(host *where, robot *one, robot *two, uint32_t round)
{
    size_t size = 0;
    witan_packet offer;
    bool ok = CHECK(robot_hear(one, WITAN_PACKET_OPEN, ROBOT_HEAR_MS)) &&
              restart(where, one, two) && /* open, nothing sent */
              CHECK(robot_hear(one, WITAN_PACKET_OPEN, ROBOT_HEAR_MS));
    if (!ok) {
        return false;
    }
    uint8_t *labels = robot_labels(one, round, where->rows, &size);
    robot_offer(one, round, where->rows, labels, size, &offer);
    robot_say(one, &offer); /* in the middle of an upload */
    CHECK(robot_serve(one, round, labels, size, 1));
    free(labels);
    CHECK(!robot_is_cut(one)); /* the chunk has been taken */
    one->chunks = 0;
    ok = restart(where, one, two) &&
         CHECK(robot_hear(one, WITAN_PACKET_OPEN, ROBOT_HEAR_MS)) &&
         CHECK(robot_upload(one, round, where->rows)) && CHECK(one->chunks == 1) &&
         restart(where, one, two) && /* one has answered */
         CHECK(robot_hear(two, WITAN_PACKET_OPEN, ROBOT_HEAR_MS)) &&
         CHECK(robot_upload(two, round, where->rows)) &&
         CHECK(robot_hear(one, WITAN_PACKET_FUSED, ROBOT_HEAR_MS)) &&
         restart(where, one, two) && /* fused */
         CHECK(robot_fetch_fused(one, round));
    if (!ok) {
        return false;
    }
    robot_done(one, round);
    CHECK(!robot_is_cut(one));
    CHECK(!robot_is_cut(one));
    return restart(where, one, two) && /* one is done */
           CHECK(robot_fetch_fused(two, round)) && (robot_done(two, round), true);
}

static void
restarts(void)
{
    host where;
    robot one, two;
    char interrupted[512];
    host_init(&where, "restarts");
    robot_init(&one, "site-a");
    robot_init(&two, "site-b");
    if (host_start(&where) && robot_join(&one, &where) && robot_join(&two, &where)) {
        CHECK(interrupted_round(&where, &one, &two, 0));
        CHECK(robot_hear(&one, WITAN_PACKET_OPEN, ROBOT_HEAR_MS));
        CHECK(restart(&where, &one, &two)); /* the next round is open */
        CHECK(whole_round(&where, &one, &two, 1));
        finish(&where, &one, &two);
        host_exchanges(&where, interrupted, sizeof interrupted);
        CHECK_STRING(interrupted, uninterrupted);
    }
    robot_fini(&one);
    robot_fini(&two);
    host_fini(&where);
}

/* Two rounds with a deadline: site-b answers the first one when it is fused, before it
 * ends or in the second one, and its knowledge is used there; with or without restarts
 * in between. */
static void
late_round(const char *name, bool early, bool again, char *exchanges, size_t room)
{
    host where;
    robot one, two;
    host_init(&where, name);
    host_set(&where, "round.minimum_clients=1");
    host_set(&where, "round.grace=20");
    host_set(&where, "round.deadline=0.5");
    host_set(&where, "round.late=keep");
    robot_init(&one, "site-a");
    robot_init(&two, "site-b");
    if (host_start(&where) && robot_join(&one, &where) && robot_join(&two, &where)) {
        CHECK(robot_hear(&one, WITAN_PACKET_OPEN, ROBOT_HEAR_MS));
        CHECK(one.heard.is.open.remaining_ms > 0 &&
              one.heard.is.open.remaining_ms <= 500);
        CHECK(robot_upload(&one, 0, where.rows));
        CHECK(robot_hear(&one, WITAN_PACKET_FUSED, ROBOT_HEAR_MS)); /* alone */
        CHECK(!early || robot_upload(&two, 0, where.rows));
        CHECK(!early || restart(&where, &one, &two));
        robot_done(&one, 0);
        CHECK(robot_hear(&one, WITAN_PACKET_OPEN, ROBOT_HEAR_MS));
        CHECK(one.heard.is.open.round == 1);
        CHECK(!again || restart(&where, &one, &two));
        CHECK(robot_upload(&two, 0, where.rows)); /* perhaps once more */
        CHECK(two.heard.is.accepted.late);
        CHECK(!again || restart(&where, &one, &two));
        CHECK(robot_upload(&one, 1, where.rows));
        CHECK(robot_fetch_fused(&one, 1));
        CHECK(!again || restart(&where, &one, &two));
        robot_done(&one, 1);
        finish(&where, &one, &two);
        host_exchanges(&where, exchanges, room);
    }
    robot_fini(&one);
    robot_fini(&two);
    host_fini(&where);
}

static void
late_knowledge(void)
{
    char once[512] = "", restarted[512] = "", early[512] = "";
    late_round("late", false, false, once, sizeof once);
    late_round("late-restarted", false, true, restarted, sizeof restarted);
    late_round("late-early", true, false, early, sizeof early);
    CHECK_CONTAINS(once, "1:2:1:");
    CHECK_STRING(restarted, once);
    CHECK_STRING(early, once);
}

/* Strategy local: nothing travels, rounds are counted all the same. */
static void
nothing_travels(void)
{
    host where;
    robot one, two;
    host_init(&where, "local");
    host_set(&where, "fusion.key=local");
    robot_init(&one, "site-a");
    robot_init(&two, "site-b");
    if (host_start(&where) && robot_join(&one, &where) && robot_join(&two, &where)) {
        CHECK(robot_hear(&one, WITAN_PACKET_OPEN, ROBOT_HEAR_MS));
        CHECK(!robot_upload(&one, 0, where.rows));
        CHECK(one.heard.is.refused.reason == WITAN_REASON_UNASKED);
        robot_done(&one, 0);
        CHECK(!robot_is_cut(&one));
        CHECK(!robot_is_cut(&one));
        CHECK(restart(&where, &one, &two));
        CHECK(robot_hear(&two, WITAN_PACKET_OPEN, ROBOT_HEAR_MS));
        robot_done(&two, 0);
        CHECK(robot_hear(&one, WITAN_PACKET_OPEN, ROBOT_HEAR_MS));
        CHECK(one.heard.is.open.round == 1); /* its DONE was not asked for again */
        robot_done(&one, 1);
        robot_done(&two, 1);
        finish(&where, &one, &two);
    }
    robot_fini(&one);
    robot_fini(&two);
    host_fini(&where);
}

/* SIGTERM: the round under way ends, the next one does not open. */
static void
drain(void)
{
    host where;
    robot one, two;
    host_init(&where, "drain");
    robot_init(&one, "site-a");
    robot_init(&two, "site-b");
    if (!host_start(&where) || !robot_join(&one, &where) || !robot_join(&two, &where)) {
        return;
    }
    CHECK(robot_hear(&one, WITAN_PACKET_OPEN, ROBOT_HEAR_MS));
    host_ask(&where, 1);
    CHECK(robot_upload(&one, 0, where.rows));
    CHECK(robot_upload(&two, 0, where.rows));
    CHECK(robot_fetch_fused(&one, 0));
    CHECK(robot_fetch_fused(&two, 0));
    robot_done(&one, 0);
    robot_done(&two, 0);
    CHECK(robot_hear(&one, WITAN_PACKET_BYE, ROBOT_HEAR_MS));
    CHECK(!one.heard.is.bye.finished && one.heard.is.bye.retry_after_ms > 0);
    CHECK_STATUS(host_wait(&where), WITAN_E_INTERRUPTED);
    char rounds[512];
    host_exchanges(&where, rounds, sizeof rounds);
    CHECK(strncmp(rounds, uninterrupted, strlen(rounds)) == 0 && strlen(rounds) > 70);
    robot_fini(&one);
    robot_fini(&two);
    host_fini(&where);
}

/* Another experiment, another directory; another coordinator in the same one. */
static void
state_is_kept_apart(void)
{
    host where;
    witan_server *second = NULL;
    witan_diag diag = {0};
    host_init(&where, "apart");
    if (!host_start(&where)) {
        return;
    }
    CHECK_STATUS(
        witan_server_new(&second, &where.options, witan_allocator_default(), &diag),
        WITAN_E_STATE);
    CHECK(second == NULL);
    CHECK_STRING(witan_server_advertised(where.server), where.endpoint);
    CHECK(witan_server_memory_bound(where.server) > (uint64_t)128 << 20);
    CHECK(witan_server_memory_bound(where.server) < (uint64_t)256 << 20);
    (void)host_stop(&where, 2);
    host_set(&where, "rounds=3");
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(
        witan_server_new(&second, &where.options, witan_allocator_default(), &diag),
        WITAN_E_STATE);
    CHECK_CONTAINS(diag.message, "state of another experiment");
    where.options.config = NULL; /* the one that is there */
    CHECK(host_start(&where));
    (void)host_stop(&where, 1);
    CHECK_STATUS(
        witan_server_new(&second, &where.options, witan_allocator_default(), NULL),
        WITAN_OK);
    witan_server_free(&second);
    host_fini(&where);

    host_init(&where, "centralised");
    host_set(&where, "fusion.key=centralised");
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(
        witan_server_new(&second, &where.options, witan_allocator_default(), &diag),
        WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "centralised");
    host_fini(&where);
}

/* A server that runs out of memory at any point of its start leaves nothing behind, and
 * its directory is good for the next one, with a round that is open too. */
static void
no_memory_at_the_start(void)
{
    host where;
    robot one, two;
    size_t attempts = 0;
    witan_status status = WITAN_E_MEMORY;
    host_init(&where, "memory");
    host_set(&where, "transfer.samples=20");
    host_set(&where, "data.limit=40");
    where.rows = 20;
    robot_init(&one, "site-a");
    robot_init(&two, "site-b");
    if (host_start(&where) && robot_join(&one, &where) && robot_join(&two, &where)) {
        CHECK(robot_hear(&one, WITAN_PACKET_OPEN, ROBOT_HEAR_MS));
        CHECK(robot_upload(&one, 0, where.rows));
    }
    CHECK_STATUS(host_stop(&where, 2), WITAN_E_INTERRUPTED);
    for (size_t at = 1; status != WITAN_OK && at < 10000; at++) {
        witan_failing_allocator failing;
        witan_server *server = NULL;
        witan_diag diag = {0};
        witan_failing_allocator_init(&failing, at);
        status = witan_server_new(&server, &where.options, &failing.allocator, &diag);
        CHECK(status == WITAN_OK || (server == NULL && diag.message[0] != '\0'));
        witan_server_free(&server);
        if (!CHECK(failing.live == 0)) {
            (void)printf("    allocation %zu: %s\n", at, diag.message);
        }
        attempts++;
    }
    (void)printf("    %zu allocations\n", attempts - 1);
    CHECK_STATUS(status, WITAN_OK);
    CHECK(attempts > 20);
    robot_fini(&one);
    robot_fini(&two);
    host_fini(&where);
}

int
main(void)
{
    RUN(enrolment);
    RUN(seats_and_approval);
    RUN(two_rounds);
    RUN(restarts);
    RUN(late_knowledge);
    RUN(nothing_travels);
    RUN(drain);
    RUN(state_is_kept_apart);
    RUN(no_memory_at_the_start);
    return witan_test_finish();
}
