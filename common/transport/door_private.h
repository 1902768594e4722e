/* door_private.h - the door's parts, shared by its owner (door.c) and its guard thread
 * (guard.c). Private to the room. */
#ifndef WITAN_TRANSPORT_DOOR_PRIVATE_H
#define WITAN_TRANSPORT_DOOR_PRIVATE_H

#include <netinet/in.h>
#include <pthread.h>

#include "transport/door.h"
#include "transport/socket.h"

enum {
    /* Frames per connection. Inwards: what an honest one may have on the way, a window
     * of 8 chunks; the guard holds it against bytes. Outwards, the queue's length: 8
     * chunks and as many small frames; a queue counts what was read in steps of half
     * its length, so that at least 9 always fit. */
    WITAN_DOOR_IN_FRAMES = 8,
    WITAN_DOOR_OUT_FRAMES = 16,
    WITAN_DOOR_SOCKET_BYTES = 1 << 18, /* kernel buffers; the system doubles it */
    WITAN_DOOR_FILES_RESERVE = 256,    /* descriptors beside the connections */
    WITAN_DOOR_FILES_SLACK = 4096,     /* how far descriptor numbers may exceed them */
    WITAN_DOOR_VISITS = 16,            /* see witan_listed */
    WITAN_DOOR_NONE = -1
};

/* Why a connection was cut; texts in guard.c. */
typedef enum witan_cut {
    WITAN_CUT_UNREAD,  /* sent more than unread_max beyond what was delivered */
    WITAN_CUT_PARTS,   /* a message of several parts, or above message_max */
    WITAN_CUT_ROUTE,   /* chose its own routing id */
    WITAN_CUT_SILENT,  /* said nothing for too long after it was accepted */
    WITAN_CUT_SURPLUS, /* connections_max or file descriptors are used up */
    WITAN_CUT_OLD,     /* the keys of the connection are due for renewal */
    WITAN_CUT_KICKED,
    WITAN_CUT_REMOVED, /* its key is no longer in the list */
    WITAN_CUT_COUNT
} witan_cut;

/* One accepted connection; its place in the table is its file descriptor. */
typedef struct witan_connection {
    bool live;                        /* accepted, and its end was not told yet */
    bool cut;                         /* shut down by us */
    bool named;                       /* delivered a frame: key and route are known */
    uint8_t key[WITAN_DOOR_KEY];      /* by CURVE */
    uint32_t route;                   /* libzmq's number of the connection */
    struct sockaddr_storage peer;     /* tells a descriptor that was used again */
    socklen_t peer_size;              /* 0: already gone when it was looked at */
    uint64_t accepted_us, read_bytes; /* when; what the owner read, as TCP counts */
    uint64_t unread;                  /* sent beyond that, at the last look */
    int before, after;                /* unnamed ones in order of acceptance */
} witan_connection;

/* A key that is admitted. What a connection left in the queue stays there when it has
 * ended: a key comes in this often at most until the owner has read everything. */
typedef struct witan_listed {
    uint8_t key[WITAN_DOOR_KEY]; /* the first member, for the search */
    uint8_t visits;
} witan_listed;

struct witan_door {
    const witan_allocator *allocator;
    const witan_log *log;
    size_t message_max, connections_max;
    uint64_t unread_max; /* of one connection */
    uint64_t
        unread_total_max; /* of all: full windows everywhere, and some that cheat */
    char endpoint[WITAN_ENDPOINT_MAX + 32];

    /* The owner's. */
    void *context, *router;
    zmq_msg_t frame; /* what the caller borrows */
    uint32_t first_route;

    /* The guard thread's, after it was started. */
    void *zap, *monitor, *watch;
    pthread_t thread;
    bool thread_started;
    int spare_file; /* given up for a moment when descriptors run out */
    size_t cursor;  /* where the next look at the table begins */
    uint64_t looked_us, told_us;
    uint64_t told[WITAN_CUT_COUNT];

    pthread_mutex_t lock; /* all below; never held across a call of libzmq */
    witan_listed *keys;   /* sorted; NULL when nobody is admitted */
    size_t key_count;
    bool visited; /* some key has visits */
    bool waiting; /* the owner waits, so the queue is empty: visits do not count */
    witan_connection *table;       /* [table_size] by file descriptor */
    size_t table_size, table_used; /* used: one past the highest live entry ever */
    size_t open;                   /* live and not cut */
    uint64_t unread_total;         /* of those */
    int unnamed_first, unnamed_last;
    witan_door_counts counts;
    uint64_t cuts[WITAN_CUT_COUNT];
    uint8_t cut_key[WITAN_DOOR_KEY]; /* of the last named connection that was cut */
};

/* Body of the guard thread; `door` is a witan_door. */
void *witan_guard_main(void *door);

/* Order of `keys`, for qsort and bsearch. */
int witan_door_compare_keys(const void *one, const void *other);
/* With the lock held. */
witan_listed *witan_door_find(const witan_door *self,
                              const uint8_t key[WITAN_DOOR_KEY]);
void witan_connection_cut(witan_door *self, int file, witan_cut reason);
void witan_connection_name(witan_door *self, int file,
                           const uint8_t key[WITAN_DOOR_KEY], uint32_t route);

#endif
