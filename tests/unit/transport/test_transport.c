/* test_transport.c - doors and links over real sockets of 127.0.0.1. */
#include <string.h>

#include "peer.h"
#include "support/witan_test.h"

enum {
    FRAME = 4096,
    UNREAD = 1 << 22
};

static void
two_ways(void)
{
    test_keys server = test_keys_new(), one = test_keys_new();
    witan_door *door = test_door_open(&server, FRAME, 64, UNREAD);
    witan_link *link;
    witan_door_frame frame;
    const uint8_t *bytes = NULL;
    size_t size = 0;
    CHECK_STATUS(witan_door_admit(door, &one.public_key, 1), WITAN_OK);
    link = test_link_open(witan_door_endpoint(door), &server, &one, FRAME);
    CHECK(test_link_becomes(link, door, WITAN_LINK_OPEN, 5000));
    CHECK_STATUS(witan_link_send(link, "hello", 5), WITAN_OK);
    CHECK(test_door_next(door, &frame, 5000));
    CHECK(frame.size == 5 && memcmp(frame.bytes, "hello", 5) == 0);
    CHECK(memcmp(frame.key, one.public_key, 32) == 0);
    CHECK_STATUS(witan_door_send(door, frame.route, frame.route_size, "world", 5),
                 WITAN_OK);
    CHECK(witan_link_wait(link, NULL, 0, 5000));
    CHECK(witan_link_receive(link, &bytes, &size));
    CHECK(size == 5 && memcmp(bytes, "world", 5) == 0);
    witan_link_close(&link, 0);
    witan_door_close(&door, 0);
    CHECK(link == NULL && door == NULL);
}

int
main(void)
{
    RUN(two_ways);
    return witan_test_finish();
}
