#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/random.h"
#include "data/partition.h"
#include "support/witan_test.h"

enum {
    ROWS = 2000,
    TEST_ROWS = 600,
    CLASSES = 10,
    KINDS = WITAN_PARTITION_FILE
};

/* Labelled rows without features: a partition reads nothing else. */
typedef struct sets {
    uint32_t train_labels[ROWS], test_labels[TEST_ROWS];
    witan_dataset train, test;
} sets;

static sets *
fixture(void)
{
    static sets s;
    witan_random random;
    witan_random_init(&random, 77, 0, 0, WITAN_PURPOSE_TEST);
    for (size_t i = 0; i < ROWS; i++) {
        s.train_labels[i] = (uint32_t)(i % CLASSES);
    }
    witan_random_shuffle(&random, s.train_labels, ROWS);
    for (size_t i = 0; i < TEST_ROWS; i++) {
        s.test_labels[i] = (uint32_t)(i % CLASSES);
    }
    s.train =
        (witan_dataset){.samples = ROWS, .classes = CLASSES, .labels = s.train_labels};
    s.test = (witan_dataset){
        .samples = TEST_ROWS, .classes = CLASSES, .labels = s.test_labels};
    return &s;
}

static witan_partition_config
config_of(witan_partition_kind kind)
{
    return (witan_partition_config){
        .kind = kind,
        .clients = 10,
        .alpha = 0.5,
        .balance = true,
        .labels_per_client = 2,
        .shards_per_client = 2,
        .minimum_samples = 10,
        .retries = 100,
        .own_test_fraction = 0.2,
        .seed = 1,
    };
}

/* Makes a partition that must succeed. */
static witan_partition
make(const witan_partition_config *config)
{
    witan_partition p;
    witan_diag diag = {WITAN_OK, ""};
    sets *s = fixture();
    if (!CHECK_STATUS(witan_partition_make(&p, config, &s->train, &s->test,
                                           witan_allocator_default(), &diag),
                      WITAN_OK)) {
        fprintf(stderr, "%s: %s\n", witan_partition_kind_name(config->kind),
                diag.message);
        exit(1);
    }
    return p;
}

static void
drop(witan_partition *p)
{
    witan_partition_fini(p, witan_allocator_default());
}

static bool
same(const witan_partition *a, const witan_partition *b)
{
    uint8_t left[32], right[32];
    witan_partition_digest(a, left);
    witan_partition_digest(b, right);
    return memcmp(left, right, sizeof left) == 0;
}

static size_t
claim(uint8_t *seen, const witan_indices *list, size_t samples)
{
    size_t wrong = 0;
    for (size_t i = 0; i < list->count; i++) {
        wrong += list->items[i] >= samples || seen[list->items[i]]++ != 0;
    }
    return wrong;
}

/* Disjoint, within range, nobody empty; what nobody holds is counted. */
static void
check_invariants(const witan_partition *p, const witan_partition_config *config)
{
    uint8_t seen[ROWS] = {0};
    size_t held = p->transfer.count;
    CHECK(p->clients == config->clients);
    CHECK(p->transfer.count == config->transfer_samples);
    CHECK(claim(seen, &p->transfer, ROWS) == 0);
    for (size_t n = 0; n < p->clients; n++) {
        size_t own = p->train[n].count;
        CHECK(p->train[n].count >= 1 && p->test[n].count >= 1);
        CHECK(claim(seen, &p->train[n], ROWS) == 0);
        if (p->test_is_global) {
            uint8_t global[TEST_ROWS] = {0};
            CHECK(claim(global, &p->test[n], TEST_ROWS) == 0);
        } else {
            CHECK(claim(seen, &p->test[n], ROWS) == 0);
            own += p->test[n].count;
        }
        CHECK(own >= config->minimum_samples);
        held += own;
    }
    CHECK(held + p->unused == ROWS);
}

static size_t
own_rows(const witan_partition *p, size_t n)
{
    return p->train[n].count + (p->test_is_global ? 0 : p->test[n].count);
}

static void
every_rule_is_disjoint_and_complete(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        for (int variant = 0; variant < 8; variant++) {
            witan_partition_config config = config_of((witan_partition_kind)kind);
            config.transfer_samples = variant & 1 ? 333 : 0;
            config.own_test_from_global = variant & 2;
            config.limit = variant & 4 ? 1501 : 0;
            config.clients = 12;
            witan_partition p = make(&config);
            check_invariants(&p, &config);
            size_t dealt = (config.limit > 0 ? 1501 : ROWS) - config.transfer_samples;
            size_t remainder =
                kind == WITAN_PARTITION_DIRICHLET_CLIENT ? dealt % config.clients : 0;
            CHECK(p.unused == ROWS - config.transfer_samples - dealt + remainder);
            CHECK(p.test_is_global == config.own_test_from_global);
            CHECK((p.global_rows != NULL) == config.own_test_from_global);
            CHECK(p.moved == 0);
            drop(&p);
        }
    }
}

static void
the_seed_decides_everything(void)
{
    witan_partition first = {0};
    for (int kind = 0; kind < KINDS; kind++) {
        witan_partition_config config = config_of((witan_partition_kind)kind);
        config.transfer_samples = 200;
        witan_partition a = make(&config);
        witan_partition b = make(&config);
        CHECK(same(&a, &b));
        config.seed = 2;
        witan_partition c = make(&config);
        CHECK(!same(&a, &c));
        /* The transfer set depends on the seed alone: rules can be compared on it. */
        if (kind > 0) {
            CHECK(memcmp(first.transfer.items, a.transfer.items, 200 * 4) == 0);
            CHECK(!same(&first, &a));
            drop(&a);
        } else {
            first = a;
        }
        CHECK(memcmp(first.transfer.items, c.transfer.items, 200 * 4) != 0);
        drop(&b);
        drop(&c);
    }
    /* A smaller transfer set is the beginning of a larger one. */
    witan_partition_config config = config_of(WITAN_PARTITION_IID);
    config.transfer_samples = 50;
    witan_partition smaller = make(&config);
    CHECK(memcmp(first.transfer.items, smaller.transfer.items, 50 * 4) == 0);
    drop(&smaller);
    drop(&first);
}

static void
draws_are_the_same_in_every_version(void)
{
    /* Runs of earlier versions can be repeated: what needs no logarithm is pinned. */
    static const struct {
        witan_partition_kind kind;
        const char *digest;
    } pins[] = {
        {WITAN_PARTITION_IID,
         "ace952434e17ab7eaad3e1d839f790348e7818d370dce9ec68d91ccb06ae403f"},
        {WITAN_PARTITION_LABELS,
         "63da92634b143f69aa78fcce276c52eaf05d7d7699dc146d3e469aa682db2ce6"},
        {WITAN_PARTITION_SHARDS,
         "c1b11f3401f9a28e362953efb6f6c0922766364ac3a3d965e196ee9af63d90e8"},
    };
    for (size_t i = 0; i < 3; i++) {
        witan_partition_config config = config_of(pins[i].kind);
        config.transfer_samples = 100;
        witan_partition p = make(&config);
        uint8_t digest[WITAN_DIGEST_SIZE];
        char hex[WITAN_DIGEST_HEX_SIZE];
        witan_partition_digest(&p, digest);
        witan_digest_hex(hex, digest);
        CHECK_STRING(hex, pins[i].digest);
        drop(&p);
    }
    /* The transfer set is the beginning of a shuffle by its own stream. */
    uint32_t rows[ROWS];
    witan_random random;
    for (uint32_t i = 0; i < ROWS; i++) {
        rows[i] = i;
    }
    witan_random_init(&random, 1, WITAN_CLIENT_NONE, 0, WITAN_PURPOSE_TRANSFER);
    witan_random_shuffle(&random, rows, ROWS);
    witan_partition_config config = config_of(WITAN_PARTITION_QUANTITY);
    config.transfer_samples = 100;
    witan_partition p = make(&config);
    CHECK(memcmp(p.transfer.items, rows, 100 * sizeof *rows) == 0);
    drop(&p);
}

static void
transfer_rows_are_uniform(void)
{
    /* 400 draws of 500 of 2000 rows: each row is drawn Binomial(400, 1/4), sd 8.66.
     * Over blocks of 100 rows the sum has mean 10000 and sd < 86.6: 5 sd, 20 blocks,
     * fixed seeds; false alarm about 1e-5. */
    size_t drawn[20] = {0};
    witan_partition_config config = config_of(WITAN_PARTITION_IID);
    config.transfer_samples = 500;
    for (config.seed = 0; config.seed < 400; config.seed++) {
        witan_partition p = make(&config);
        for (size_t i = 0; i < p.transfer.count; i++) {
            drawn[p.transfer.items[i] / 100]++;
        }
        drop(&p);
    }
    for (size_t b = 0; b < 20; b++) {
        CHECK_NEAR((double)drawn[b], 10000.0, 433.0, 0.0);
    }
}

static void
iid_sizes_differ_by_one(void)
{
    witan_partition_config config = config_of(WITAN_PARTITION_IID);
    config.clients = 7;
    config.own_test_from_global = true;
    witan_partition p = make(&config);
    for (size_t n = 0; n < 7; n++) {
        CHECK(p.train[n].count == ROWS / 7 || p.train[n].count == ROWS / 7 + 1);
    }
    drop(&p);
}

static void
holdouts_have_their_share(void)
{
    witan_partition_config config = config_of(WITAN_PARTITION_IID);
    config.minimum_samples = 1;
    config.own_test_fraction = 0.3;
    witan_partition p = make(&config);
    CHECK(p.test[3].count == 60 && p.train[3].count == 140);
    drop(&p);
    config.clients = 1000; /* two rows each: one to train, one to test on */
    config.own_test_fraction = 0.01;
    p = make(&config);
    CHECK(p.test[999].count == 1 && p.train[999].count == 1);
    drop(&p);
    config.clients = 400; /* 1.5 of five rows is two */
    config.own_test_fraction = 0.3;
    p = make(&config);
    CHECK(p.test[0].count == 2 && p.train[0].count == 3);
    drop(&p);
    config.clients = 1000;
    config.own_test_fraction = 0.99;
    p = make(&config);
    CHECK(p.test[0].count == 1 && p.train[0].count == 1);
    drop(&p);
}

/* counts [clients, CLASSES] of training and own test rows; free() it. */
static uint32_t *
own_counts(const witan_partition *p)
{
    uint32_t *counts = calloc(p->clients * CLASSES, sizeof *counts);
    witan_partition_histogram(p, &fixture()->train, counts);
    for (size_t n = 0; n < p->clients && !p->test_is_global; n++) {
        for (size_t i = 0; i < p->test[n].count; i++) {
            counts[n * CLASSES + fixture()->train_labels[p->test[n].items[i]]]++;
        }
    }
    return counts;
}

static void
labels_gives_each_client_k_classes(void)
{
    for (size_t k = 1; k <= CLASSES; k += 3) {
        witan_partition_config config = config_of(WITAN_PARTITION_LABELS);
        config.clients = 23;
        config.labels_per_client = k;
        witan_partition p = make(&config);
        uint32_t *counts = own_counts(&p);
        for (size_t c = 0; c < CLASSES; c++) {
            size_t least = ROWS, most = 0;
            for (size_t n = 0; n < p.clients; n++) {
                size_t rows = counts[n * CLASSES + c];
                if (rows > 0) {
                    least = rows < least ? rows : least;
                    most = rows > most ? rows : most;
                }
            }
            CHECK(most - least <= 1); /* shared equally among holders */
        }
        for (size_t n = 0; n < p.clients; n++) {
            size_t held = 0;
            for (size_t c = 0; c < CLASSES; c++) {
                held += counts[n * CLASSES + c] > 0;
            }
            CHECK(held == k);
            CHECK(counts[n * CLASSES + n % CLASSES] > 0);
        }
        free(counts);
        drop(&p);
    }
    /* Fewer clients than classes: what nobody holds is unused. */
    witan_partition_config config = config_of(WITAN_PARTITION_LABELS);
    config.clients = 3;
    config.labels_per_client = 1;
    witan_partition p = make(&config);
    CHECK(p.unused == ROWS / CLASSES * 7);
    drop(&p);
}

static void
shards_are_cut_from_sorted_rows(void)
{
    witan_partition_config config = config_of(WITAN_PARTITION_SHARDS);
    config.clients = 16;
    config.shards_per_client = 1;
    witan_partition p = make(&config);
    uint32_t *counts = own_counts(&p);
    size_t order_breaks = 0;
    for (size_t a = 0; a < 16; a++) {
        CHECK(own_rows(&p, a) == 125);
        for (size_t b = 0; b < 16; b++) {
            /* One shard spans at most classes c and c + 1; no two interleave. */
            size_t first_a = 0, last_b = CLASSES - 1, last_a = CLASSES - 1, first_b = 0;
            while (counts[a * CLASSES + first_a] == 0) {
                first_a++;
            }
            while (counts[a * CLASSES + last_a] == 0) {
                last_a--;
            }
            while (counts[b * CLASSES + first_b] == 0) {
                first_b++;
            }
            while (counts[b * CLASSES + last_b] == 0) {
                last_b--;
            }
            CHECK(last_a - first_a <= 1);
            CHECK(a == b || last_a <= first_b || last_b <= first_a);
            order_breaks += b == a + 1 && first_b < first_a;
        }
    }
    CHECK(order_breaks > 0); /* dealt in random order */
    free(counts);
    drop(&p);
    config.clients = 10;
    config.shards_per_client = 2; /* 20 shards of 100: each within one class */
    p = make(&config);
    counts = own_counts(&p);
    for (size_t n = 0; n < 10; n++) {
        size_t held = 0;
        for (size_t c = 0; c < CLASSES; c++) {
            held += counts[n * CLASSES + c] > 0;
            CHECK(counts[n * CLASSES + c] % 100 == 0);
        }
        CHECK(held >= 1 && held <= 2);
    }
    free(counts);
    drop(&p);
}

/* Rows of which class c has about 1 / (c + 1), as those who speak in a play do. */
static void
skew(sets *s, size_t classes)
{
    witan_random random;
    double sum = 0.0;
    for (size_t c = 0; c < classes; c++) {
        sum += 1.0 / (double)(c + 1);
    }
    witan_random_init(&random, 78, 0, 0, WITAN_PURPOSE_TEST);
    for (size_t i = 0; i < ROWS; i++) {
        double u = witan_random_uniform(&random) * sum;
        uint32_t c = 0;
        while (c + 1 < classes && (u -= 1.0 / (double)(c + 1)) > 0.0) {
            c++;
        }
        s->train_labels[i] = c;
    }
    s->train.classes = classes;
}

/* holder [classes]: who has rows of a class, in training or test part; a class with two
 * holders is counted in the result. */
static size_t
holders(const witan_partition *p, const uint32_t *labels, size_t *holder,
        size_t classes)
{
    size_t wrong = 0;
    for (size_t c = 0; c < classes; c++) {
        holder[c] = SIZE_MAX;
    }
    for (size_t n = 0; n < p->clients; n++) {
        const witan_indices *lists[] = {&p->train[n], &p->test[n]};
        for (size_t l = 0; l < 2; l++) {
            for (size_t i = 0; i < lists[l]->count; i++) {
                uint32_t c = labels[lists[l]->items[i]];
                wrong += holder[c] != SIZE_MAX && holder[c] != n;
                holder[c] = n;
            }
        }
    }
    return wrong;
}

static void
natural_deals_whole_classes(void)
{
    enum {
        GROUPS = 61
    };
    for (int variant = 0; variant < 4; variant++) {
        sets *s = fixture();
        witan_partition_config config = config_of(WITAN_PARTITION_NATURAL);
        witan_partition p, again, other;
        size_t holder[GROUPS];
        config.transfer_samples = variant & 1 ? 333 : 0;
        config.limit = variant & 2 ? 1501 : 0;
        config.clients = 12;
        config.minimum_samples = 2;
        skew(s, GROUPS);
        CHECK_STATUS(witan_partition_make(&p, &config, &s->train, NULL,
                                          witan_allocator_default(), NULL),
                     WITAN_OK);
        check_invariants(&p, &config);
        CHECK(p.unused == (config.limit > 0 ? ROWS - config.limit : 0) && p.moved == 0);
        CHECK(holders(&p, s->train_labels, holder, GROUPS) == 0);
        /* The seed decides the transfer rows and the order, not who is dealt. */
        CHECK_STATUS(witan_partition_make(&again, &config, &s->train, NULL,
                                          witan_allocator_default(), NULL),
                     WITAN_OK);
        CHECK(same(&p, &again));
        config.seed = 2;
        CHECK_STATUS(witan_partition_make(&other, &config, &s->train, NULL,
                                          witan_allocator_default(), NULL),
                     WITAN_OK);
        CHECK(!same(&p, &other));
        for (size_t n = 0; n < p.clients && variant == 0; n++) {
            CHECK(own_rows(&p, n) == own_rows(&other, n));
        }
        drop(&other);
        drop(&again);
        drop(&p);
    }
}

/* The rule once more, slowly: the largest class left to the client with fewest rows. */
static void
natural_fills_the_smallest_client(void)
{
    for (size_t clients = 1; clients <= 40; clients++) {
        sets *s = fixture();
        witan_partition_config config = config_of(WITAN_PARTITION_NATURAL);
        witan_partition p;
        size_t rows[40] = {0}, sizes[40] = {0}, holder[40];
        config.clients = clients;
        config.minimum_samples = 2;
        skew(s, 40);
        for (size_t i = 0; i < ROWS; i++) {
            rows[s->train_labels[i]]++;
        }
        CHECK_STATUS(witan_partition_make(&p, &config, &s->train, NULL,
                                          witan_allocator_default(), NULL),
                     WITAN_OK);
        CHECK(holders(&p, s->train_labels, holder, 40) == 0);
        for (size_t turn = 0; turn < 40; turn++) {
            size_t largest = 0, smallest = 0;
            for (size_t c = 0; c < 40; c++) {
                largest = rows[c] > rows[largest] ? c : largest;
            }
            for (size_t n = 0; n < clients; n++) {
                smallest = sizes[n] < sizes[smallest] ? n : smallest;
            }
            CHECK(holder[largest] == smallest);
            sizes[smallest] += rows[largest];
            rows[largest] = 0;
        }
        for (size_t n = 0; n < clients; n++) {
            CHECK(own_rows(&p, n) == sizes[n]);
        }
        drop(&p);
    }
}

static void
natural_needs_a_class_for_each_client(void)
{
    sets *s = fixture();
    witan_partition_config config = config_of(WITAN_PARTITION_NATURAL);
    witan_partition p;
    witan_diag diag = {WITAN_OK, ""};
    config.clients = 11;
    s->train.classes = 20; /* ten of them without rows */
    CHECK_STATUS(witan_partition_make(&p, &config, &s->train, NULL,
                                      witan_allocator_default(), &diag),
                 WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "10 classes or groups cannot be dealt whole to 11");
    config.clients = 10;
    CHECK_STATUS(witan_partition_make(&p, &config, &s->train, NULL,
                                      witan_allocator_default(), NULL),
                 WITAN_OK);
    drop(&p);
    s->train_labels[0] = 19; /* a class of one row, which is too few */
    config.clients = 11;
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_partition_make(&p, &config, &s->train, NULL,
                                      witan_allocator_default(), &diag),
                 WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "client 10 would hold 1 rows");
}

static void
a_short_client_is_topped_up_from_the_largest(void)
{
    for (int kind = 0; kind < 2; kind++) {
        witan_partition_config config =
            config_of(kind == 0 ? WITAN_PARTITION_QUANTITY : WITAN_PARTITION_DIRICHLET);
        config.clients = 20;
        config.alpha = 0.02;
        config.balance = false;
        config.retries = 3;
        config.minimum_samples = 40;
        config.own_test_from_global = true;
        witan_partition p = make(&config);
        check_invariants(&p, &config);
        CHECK(p.moved > 0 && p.unused == 0);
        size_t at_minimum = 0, most = 0;
        for (size_t n = 0; n < 20; n++) {
            at_minimum += p.train[n].count == 40;
            most = p.train[n].count > most ? p.train[n].count : most;
        }
        CHECK(at_minimum >= 5 && most > 40);
        drop(&p);
        /* As much as there is: all equal, whatever was drawn. */
        config.minimum_samples = 100;
        p = make(&config);
        for (size_t n = 0; n < 20; n++) {
            CHECK(p.train[n].count == 100);
        }
        drop(&p);
        /* Redraws alone can do it where shares are even enough. */
        config.alpha = 5.0;
        config.minimum_samples = 40;
        config.retries = 1000;
        p = make(&config);
        CHECK(p.moved == 0);
        drop(&p);
    }
}

static void
top_up_cuts_the_largest_to_one_size(void)
{
    /* Sizes of the untouched draw (minimum 1) against those topped up to 90: the short
     * get 90, the largest are cut to one size give or take a row, the others stay. */
    witan_partition_config config = config_of(WITAN_PARTITION_QUANTITY);
    config.clients = 10;
    config.alpha = 1.0;
    config.retries = 0;
    config.own_test_from_global = true;
    size_t seeds = 0;
    for (config.seed = 1; config.seed <= 20; config.seed++) {
        config.minimum_samples = 1;
        witan_partition before = make(&config);
        if (before.moved > 0) { /* somebody had nothing: not untouched */
            drop(&before);
            continue;
        }
        seeds++;
        config.minimum_samples = 90;
        witan_partition after = make(&config);
        size_t deficit = 0, cut = 0, least = ROWS, most = 0;
        for (size_t n = 0; n < 10; n++) {
            size_t old = before.train[n].count, now = after.train[n].count;
            deficit += old < 90 ? 90 - old : 0;
            CHECK(old >= 90 || now == 90);
            CHECK(old < 90 || now <= old);
            if (now < old) {
                cut += old - now;
                least = now < least ? now : least;
                most = now > most ? now : most;
            }
        }
        CHECK(after.moved == deficit && cut == deficit);
        CHECK(deficit == 0 || most - least <= 1);
        for (size_t n = 0; n < 10 && deficit > 0; n++) {
            CHECK(after.train[n].count <= least + 1);
        }
        drop(&after);
        drop(&before);
    }
    CHECK(seeds >= 10);
}

static void
balance_stops_at_the_fair_share(void)
{
    /* With balance nobody gets a class once it holds rows / N, so that no client
     * exceeds rows / N plus one class; without, one-hot shares overshoot for some seed.
     */
    size_t limit = ROWS / 4 + ROWS / CLASSES;
    size_t overshoots = 0;
    witan_partition_config config = config_of(WITAN_PARTITION_DIRICHLET);
    config.clients = 4;
    config.alpha = 1e-3;
    config.retries = 0;
    config.minimum_samples = 1;
    config.own_test_from_global = true;
    for (config.seed = 1; config.seed <= 20; config.seed++) {
        for (int balance = 0; balance < 2; balance++) {
            config.balance = balance == 1;
            witan_partition p = make(&config);
            for (size_t n = 0; n < 4; n++) {
                CHECK(!config.balance || p.train[n].count <= limit);
                overshoots += p.train[n].count > limit;
            }
            drop(&p);
        }
    }
    CHECK(overshoots > 5);
}

/* Chi-square of the first clients' class counts against equal shares of the classes. */
static double
chi_square(const witan_partition *p, size_t clients)
{
    uint32_t *counts = own_counts(p);
    double sum = 0.0;
    for (size_t n = 0; n < clients; n++) {
        double expected = (double)own_rows(p, n) / CLASSES;
        for (size_t c = 0; c < CLASSES; c++) {
            double error = counts[n * CLASSES + c] - expected;
            sum += error * error / expected;
        }
    }
    free(counts);
    return sum;
}

static void
large_alpha_is_iid_and_small_alpha_is_not(void)
{
    /* Dealing out all rows: 81 degrees of freedom for 10 x 10. By client, rows are
     * drawn from the mix until classes run dry: 9 for each of the first clients. The
     * mean of 20 statistics has sd sqrt(2 df / 20); bounds at 5 sd, fixed seeds: false
     * alarm 1e-6. */
    static const struct {
        witan_partition_kind kind;
        size_t clients;
        double alpha, freedom;
    } cases[] = {{WITAN_PARTITION_IID, 10, 1.0, 81.0},
                 {WITAN_PARTITION_QUANTITY, 10, 5.0, 81.0},
                 {WITAN_PARTITION_DIRICHLET_CLIENT, 6, 1e6, 54.0}};
    for (size_t k = 0; k < 3; k++) {
        witan_partition_config config = config_of(cases[k].kind);
        config.alpha = cases[k].alpha;
        double sum = 0.0;
        for (config.seed = 1; config.seed <= 20; config.seed++) {
            witan_partition p = make(&config);
            sum += chi_square(&p, cases[k].clients);
            drop(&p);
        }
        CHECK_NEAR(sum / 20.0, cases[k].freedom, 5.0 * sqrt(cases[k].freedom / 10.0),
                   0.0);
    }
    /* By class, shares and with them counts become exactly equal. */
    witan_partition_config config = config_of(WITAN_PARTITION_DIRICHLET);
    config.alpha = 1e6;
    witan_partition p = make(&config);
    CHECK(chi_square(&p, 10) < 10.0);
    uint32_t *equal = own_counts(&p);
    for (size_t i = 0; i < 100; i++) {
        CHECK(equal[i] >= 19 && equal[i] <= 21);
    }
    free(equal);
    drop(&p);
    for (int kind = 0; kind < 2; kind++) {
        config = config_of(kind == 0 ? WITAN_PARTITION_DIRICHLET
                                     : WITAN_PARTITION_DIRICHLET_CLIENT);
        config.alpha = 1e-3;
        config.retries = 0;
        p = make(&config);
        uint32_t *counts = own_counts(&p);
        double share = 0.0;
        for (size_t n = 0; n < 10; n++) {
            uint32_t most = 0;
            for (size_t c = 0; c < CLASSES; c++) {
                most = counts[n * CLASSES + c] > most ? counts[n * CLASSES + c] : most;
            }
            share += (double)most / (double)own_rows(&p, n) / 10.0;
        }
        CHECK(share > 0.6); /* 0.1 when iid */
        free(counts);
        drop(&p);
    }
    /* Even 1e-6, where Gamma draws underflow, and a minimum that leaves no choice. */
    config = config_of(WITAN_PARTITION_DIRICHLET_CLIENT);
    config.alpha = 1e-6;
    config.minimum_samples = ROWS / 10;
    p = make(&config);
    check_invariants(&p, &config);
    drop(&p);
}

/* Mean over clients of sum_c mix_c^2, and the sizes' sd / mean. */
static void
shape_of(const witan_partition *p, const witan_dataset *set, double *concentration,
         double *spread)
{
    uint32_t *counts = calloc(p->clients * set->classes, sizeof *counts);
    double sum = 0.0, squares = 0.0, n_sum = 0.0;
    witan_partition_histogram(p, set, counts);
    for (size_t n = 0; n < p->clients; n++) {
        double size = (double)p->train[n].count;
        n_sum += size;
        squares += size * size;
        for (size_t c = 0; c < set->classes; c++) {
            double mix = counts[n * set->classes + c] / size;
            sum += mix * mix;
        }
    }
    double clients = (double)p->clients;
    double mean = n_sum / clients;
    *concentration = sum / clients;
    *spread = sqrt(squares / clients - mean * mean) / mean;
    free(counts);
}

typedef struct golden_set {
    uint32_t labels[4000];
    witan_dataset set;
} golden_set;

static golden_set *
load_golden_set(void)
{
    static golden_set g;
    witan_golden labels = witan_golden_load("partition/labels");
    CHECK(labels.count == 3823);
    for (size_t i = 0; i < labels.count; i++) {
        g.labels[i] = (uint32_t)labels.values[i];
    }
    g.set = (witan_dataset){.samples = labels.count, .classes = 10, .labels = g.labels};
    witan_golden_free(&labels);
    return &g;
}

/* Mean and squared standard error of a growing sample. */
typedef struct running {
    double count, sum, squares;
} running;

static void
running_add(running *self, double value)
{
    self->count += 1.0;
    self->sum += value;
    self->squares += value * value;
}

static double
z_score(const running *self, double mean, double standard_error)
{
    double own = self->sum / self->count;
    double variance = (self->squares / self->count - own * own) / (self->count - 1.0);
    return (own - mean) / sqrt(variance + standard_error * standard_error);
}

static void
dirichlet_rules_agree_with_numpy(void)
{
    /* 200 splits here against 200 of an independent program: 9 z scores below 4.5 with
     * a fixed seed, false alarm 6e-5. */
    golden_set *g = load_golden_set();
    witan_golden by_client = witan_golden_load("partition/by_client");
    witan_golden by_class = witan_golden_load("partition/by_class");
    for (size_t row = 0; row < 6; row++) {
        bool per_client = row < 3;
        const double *expected =
            per_client ? by_client.values + 3 * row : by_class.values + 5 * (row - 3);
        witan_partition_config config = config_of(
            per_client ? WITAN_PARTITION_DIRICHLET_CLIENT : WITAN_PARTITION_DIRICHLET);
        config.alpha = expected[0];
        config.transfer_samples = 500;
        config.retries = 100000;
        config.own_test_from_global = true;
        running concentration = {0}, spread = {0};
        for (config.seed = 1; config.seed <= 200; config.seed++) {
            witan_partition p;
            double values[2];
            CHECK_STATUS(witan_partition_make(&p, &config, &g->set, &g->set,
                                              witan_allocator_default(), NULL),
                         WITAN_OK);
            CHECK(p.moved == 0);
            shape_of(&p, &g->set, &values[0], &values[1]);
            running_add(&concentration, values[0]);
            running_add(&spread, values[1]);
            drop(&p);
        }
        CHECK_NEAR(z_score(&concentration, expected[1], expected[2]), 0.0, 4.5, 0.0);
        if (per_client) {
            CHECK_NEAR(spread.sum, 0.0, 1e-9, 0.0);
        } else {
            CHECK_NEAR(z_score(&spread, expected[3], expected[4]), 0.0, 4.5, 0.0);
        }
    }
    witan_golden_free(&by_class);
    witan_golden_free(&by_client);
}

static void
index_files_of_another_program_are_read(void)
{
    golden_set *g = load_golden_set();
    witan_golden histograms = witan_golden_load("partition/histograms");
    witan_partition_config config = config_of(WITAN_PARTITION_FILE);
    config.path = WITAN_TEST_SOURCE_DIR "/tests/golden/vectors/partition/split";
    config.own_test_from_global = true;
    witan_partition p;
    CHECK_STATUS(witan_partition_make(&p, &config, &g->set, &g->set,
                                      witan_allocator_default(), NULL),
                 WITAN_OK);
    CHECK(p.transfer.count == 500);
    CHECK(p.unused == 3823 - 500 - 10 * 332);
    uint32_t counts[100];
    witan_partition_histogram(&p, &g->set, counts);
    for (size_t i = 0; i < 100; i++) {
        CHECK(counts[i] == (uint32_t)histograms.values[i]);
    }
    drop(&p);
    /* Fewer transfer rows: the first ones of the file. */
    config.transfer_samples = 20;
    config.own_test_from_global = false;
    CHECK_STATUS(witan_partition_make(&p, &config, &g->set, NULL,
                                      witan_allocator_default(), NULL),
                 WITAN_OK);
    CHECK(p.transfer.count == 20);
    CHECK(p.train[0].count == 332 - 66 && p.test[0].count == 66);
    drop(&p);
    witan_golden_free(&histograms);
}

static void
a_saved_partition_reads_back(void)
{
    for (int variant = 0; variant < 4; variant++) {
        sets *s = fixture();
        witan_partition_config config = config_of(WITAN_PARTITION_DIRICHLET);
        config.clients = variant & 1 ? 123 : 7; /* three digits, two digits */
        config.transfer_samples = variant & 1 ? 0 : 150;
        config.own_test_from_global = variant & 2;
        char name[32];
        (void)snprintf(name, sizeof name, "saved%d", variant);
        const char *directory = witan_test_path(name);
        witan_partition p = make(&config);
        witan_diag diag = {WITAN_OK, ""};
        CHECK_STATUS(witan_partition_save(&p, &s->train, directory,
                                          witan_allocator_default(), &diag),
                     WITAN_OK);
        CHECK_STRING(diag.message, "");
        config.kind = WITAN_PARTITION_FILE;
        config.path = directory;
        witan_partition q = make(&config);
        CHECK(same(&p, &q));
        CHECK(p.unused == q.unused);
        drop(&q);
        /* Test files are beside the point when tests come from the global set. */
        config.own_test_from_global = true;
        config.minimum_samples = 2;
        q = make(&config);
        CHECK(q.train[0].count == p.train[0].count && q.test_is_global);
        drop(&q);
        CHECK_STATUS(witan_partition_save(&p, &s->train, directory,
                                          witan_allocator_default(), &diag),
                     WITAN_E_CONFIG);
        CHECK_CONTAINS(diag.message, "holds a partition already");
        drop(&p);
    }
    CHECK(access(witan_test_path("saved1/client_122.idx"), R_OK) == 0);
    CHECK(access(witan_test_path("saved1/client_000.idx"), R_OK) == 0);
    CHECK(access(witan_test_path("saved1/public.idx"), R_OK) != 0);
    CHECK(access(witan_test_path("saved2/client_00.test.idx"), R_OK) != 0);
    char *json = witan_test_read(witan_test_path("saved0/split.json"), NULL);
    CHECK_CONTAINS(json, "\"clients\": 7,\n  \"public\": 150,");
    CHECK_CONTAINS(json, "\"own_test\": \"holdout\"");
    free(json);
}

static void
a_full_disk_leaves_no_half_partition(void)
{
    witan_partition_config config = config_of(WITAN_PARTITION_IID);
    config.transfer_samples = 10;
    witan_partition p = make(&config);
    const char *directory = witan_test_path("full");
    CHECK(mkdir(directory, 0777) == 0);
    CHECK(symlink("/dev/full", witan_test_path("full/split.json")) == 0);
    witan_diag diag = {WITAN_OK, ""};
    CHECK_STATUS(witan_partition_save(&p, &fixture()->train, directory,
                                      witan_allocator_default(), &diag),
                 WITAN_E_IO);
    CHECK_CONTAINS(diag.message, "split.json: cannot write: No space left on device");
    CHECK(rmdir(directory) == 0); /* empty again */

    diag = (witan_diag){WITAN_OK, ""};
    CHECK_STATUS(witan_partition_save(&p, &fixture()->train,
                                      witan_test_path("absent/below"),
                                      witan_allocator_default(), &diag),
                 WITAN_E_IO);
    CHECK_CONTAINS(diag.message, "cannot make this directory: No such file");
    drop(&p);
}

/* Two clients with rows 0..9 and 10..19, ten transfer rows from 20 on. */
static const char *
good_directory(const char *name)
{
    const char *directory = witan_test_path(name);
    static const char *const files[] = {"client_00.idx", "client_01.idx", "public.idx"};
    CHECK(mkdir(directory, 0777) == 0);
    for (size_t f = 0; f < 3; f++) {
        char path[512];
        uint8_t bytes[40] = {0};
        for (size_t i = 0; i < 10; i++) {
            bytes[4 * i] = (uint8_t)(10 * f + i);
        }
        (void)snprintf(path, sizeof path, "%s/%s", directory, files[f]);
        witan_test_write(path, bytes, sizeof bytes);
    }
    return directory;
}

/* Reads good_directory after one file was overwritten (bytes NULL: removed). */
static void
check_refused(const char *file, const void *bytes, size_t size,
              witan_partition_config *change, witan_status status, const char *message)
{
    static int number;
    char name[32], path[512];
    (void)snprintf(name, sizeof name, "bad%d", number++);
    const char *directory = good_directory(name);
    (void)snprintf(path, sizeof path, "%s/%s", directory, file);
    if (bytes != NULL) {
        witan_test_write(path, bytes, size);
    } else {
        (void)unlink(path);
    }
    witan_partition_config config = config_of(WITAN_PARTITION_FILE);
    config.clients = 2;
    if (change != NULL) {
        config = *change;
    }
    config.path = directory;
    witan_partition p;
    witan_diag diag = {WITAN_OK, ""};
    CHECK_STATUS(witan_partition_make(&p, &config, &fixture()->train, &fixture()->test,
                                      witan_allocator_default(), &diag),
                 status);
    if (status != WITAN_OK) {
        CHECK_CONTAINS(diag.message, message);
        CHECK(p.train == NULL && p.rows == NULL);
    }
    drop(&p);
}

static void
malformed_index_files_are_named(void)
{
    witan_partition_config config = config_of(WITAN_PARTITION_FILE);
    config.clients = 2;
    static const uint8_t odd[9] = {0, 0, 0, 0, 1};
    static const uint8_t high[8] = {0, 0, 0, 0, 0xd0, 7};
    static const uint8_t negative[4] = {0xff, 0xff, 0xff, 0xff};
    static const uint8_t twice[12] = {5, 0, 0, 0, 6, 0, 0, 0, 5};
    static const uint8_t others[8] = {10, 0, 0, 0, 9};
    static const uint8_t publics[4] = {25};
    check_refused("x", "", 0, NULL, WITAN_OK, "");
    check_refused("client_01.idx", odd, 9, NULL, WITAN_E_DATA,
                  "client_01.idx: entry 0 is row 0, which client_00.idx holds too");
    check_refused(
        "client_00.idx", odd, 9, NULL, WITAN_E_DATA,
        "client_00.idx: 1 bytes after entry 2: the size must be a multiple of 4");
    check_refused("client_00.idx", high, 8, NULL, WITAN_E_DATA,
                  "client_00.idx: entry 1 is 2000, but rows are 0 to 1999");
    check_refused("public.idx", negative, 4, NULL, WITAN_E_DATA,
                  "public.idx: entry 0 is -1, but rows are 0 to 1999");
    check_refused("client_00.idx", twice, 12, NULL, WITAN_E_DATA,
                  "client_00.idx: entry 2 is row 5, which it holds already");
    check_refused("client_01.idx", others, 8, NULL, WITAN_E_DATA,
                  "client_01.idx: entry 1 is row 9, which client_00.idx holds too");
    check_refused("client_00.idx", publics, 4, NULL, WITAN_E_DATA,
                  "client_00.idx: entry 0 is row 25, which public.idx holds too");
    check_refused("client_00.idx", "", 0, NULL, WITAN_E_DATA,
                  "client_00.idx: 0 rows, but a client needs 2");
    check_refused("client_00.test.idx", publics, 4, NULL, WITAN_E_CONFIG,
                  "1 client_*.test.idx files: give every client one, or none");
    check_refused("client_000.idx", publics, 4, NULL, WITAN_E_DATA,
                  "two files are client 0's");
    check_refused("client_07.idx", publics, 4, NULL, WITAN_E_CONFIG,
                  "holds 3 client_*.idx files");
    check_refused("client_01.idx", NULL, 0, NULL, WITAN_E_CONFIG, "clients is 2 but ");
    config.clients = 1;
    check_refused("client_00.idx", NULL, 0, &config, WITAN_E_CONFIG,
                  "client_00.idx is missing: clients are numbered from 00");
    config.clients = 3;
    check_refused("client_001.idx", publics, 4, &config, WITAN_E_DATA,
                  "two files are client 1's");
    config.clients = 2;
    config.minimum_samples = 11;
    check_refused("x", "", 0, &config, WITAN_E_CONFIG,
                  "client 0 has 10 rows: lower data.partition.minimum (11)");
    config.minimum_samples = 10;
    config.transfer_samples = 11;
    check_refused("x", "", 0, &config, WITAN_E_CONFIG,
                  "public.idx holds 10 rows: lower it");
    check_refused("public.idx", NULL, 0, &config, WITAN_E_CONFIG,
                  "holds no public.idx: add it, or set transfer.path");
    config.transfer_samples = 0;
    check_refused("public.idx", NULL, 0, &config, WITAN_OK, "");
    config.limit = 100;
    check_refused("x", "", 0, &config, WITAN_E_CONFIG, "data.limit is 100");

    config = config_of(WITAN_PARTITION_FILE);
    config.path = witan_test_path("nowhere");
    witan_partition p;
    witan_diag diag = {WITAN_OK, ""};
    CHECK_STATUS(witan_partition_make(&p, &config, &fixture()->train, NULL,
                                      witan_allocator_default(), &diag),
                 WITAN_E_IO);
    CHECK_CONTAINS(diag.message, "nowhere: cannot read this directory: No such file");
}

static void
check_config_error(const witan_partition_config *config, witan_status status,
                   const char *message)
{
    witan_partition p;
    witan_diag diag = {WITAN_OK, ""};
    CHECK_STATUS(witan_partition_make(&p, config, &fixture()->train, &fixture()->test,
                                      witan_allocator_default(), &diag),
                 status);
    CHECK_STRING(diag.message, message);
    CHECK(p.train == NULL && p.rows == NULL);
}

static void
impossible_partitions_say_what_to_change(void)
{
    witan_partition_config config = config_of(WITAN_PARTITION_IID);
    config.clients = 100;
    config.minimum_samples = 1;
    config.transfer_samples = 1940;
    check_config_error(
        &config, WITAN_E_CONFIG,
        "60 rows are left for 100 clients, who need 2 each: lower clients "
        "or transfer.samples");
    config.transfer_samples = 0;
    config.limit = 500;
    config.minimum_samples = 10;
    check_config_error(
        &config, WITAN_E_CONFIG,
        "500 rows are left for 100 clients, who need 10 each: lower clients "
        "or data.partition.minimum, or raise data.limit");
    config.transfer_samples = 2001;
    config.limit = 0;
    check_config_error(
        &config, WITAN_E_CONFIG,
        "transfer.samples is 2001, but only 2000 training rows are there: "
        "lower it");
    config = config_of(WITAN_PARTITION_LABELS);
    config.labels_per_client = 11;
    check_config_error(
        &config, WITAN_E_CONFIG,
        "11 labels per client are asked for, but the rows have 10 classes: "
        "lower data.partition.labels");
    config.labels_per_client = 10;
    config.clients = 500;
    config.minimum_samples = 1;
    check_config_error(
        &config, WITAN_E_CONFIG,
        "2000 rows are too few for 500 clients with 10 labels each: lower "
        "clients or data.partition.labels");
    config.clients = 1000;
    config.labels_per_client = 2;
    witan_partition p;
    witan_diag diag = {WITAN_OK, ""};
    CHECK_STATUS(witan_partition_make(&p, &config, &fixture()->train, NULL,
                                      witan_allocator_default(), &diag),
                 WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "clients that are to hold it: lower clients or "
                                 "data.partition.labels");
    config = config_of(WITAN_PARTITION_SHARDS);
    config.shards_per_client = 201;
    check_config_error(
        &config, WITAN_E_CONFIG,
        "2000 rows cannot be cut into 201 shards for each of 10 clients: "
        "lower clients or data.partition.shards");
    config.shards_per_client = 0;
    check_config_error(&config, WITAN_E_CONFIG,
                       "data.partition.shards is 0: set it to at least 1");
    config = config_of(WITAN_PARTITION_DIRICHLET);
    config.alpha = 0.0;
    check_config_error(&config, WITAN_E_CONFIG,
                       "data.partition.alpha is 0: set it above 0");
    config.alpha = (double)NAN;
    CHECK_STATUS(witan_partition_make(&p, &config, &fixture()->train, NULL,
                                      witan_allocator_default(), NULL),
                 WITAN_E_CONFIG);
    config = config_of(WITAN_PARTITION_IID);
    config.own_test_fraction = 1.0;
    check_config_error(&config, WITAN_E_CONFIG,
                       "data.own_test.fraction is 1: set it above 0 and below 1");
    config.clients = 0;
    check_config_error(&config, WITAN_E_CONFIG,
                       "clients is 0: set it between 1 and 100000");
    config = config_of(WITAN_PARTITION_IID);
    witan_dataset unlabelled = {.samples = ROWS};
    CHECK_STATUS(witan_partition_make(&p, &config, &unlabelled, NULL,
                                      witan_allocator_default(), NULL),
                 WITAN_E_DATA);
    config.own_test_from_global = true;
    CHECK_STATUS(witan_partition_make(&p, &config, &fixture()->train, &unlabelled,
                                      witan_allocator_default(), NULL),
                 WITAN_E_DATA);
}

/* Reads client 0 with these rows (client 1 gets one row of class 0) against a test set
 * of the given labels; checks its test rows per class. */
static void
check_global_mix(const uint32_t *own_labels, size_t own, const uint32_t *test_labels,
                 size_t tests, double fraction, const size_t expected[4])
{
    static int number;
    char name[32], path[512];
    uint32_t labels[64] = {0};
    uint8_t bytes[256] = {0};
    memcpy(labels, own_labels, own * sizeof *labels);
    for (size_t i = 0; i < own; i++) {
        bytes[4 * i] = (uint8_t)i;
    }
    (void)snprintf(name, sizeof name, "mix%d", number++);
    const char *directory = witan_test_path(name);
    CHECK(mkdir(directory, 0777) == 0);
    (void)snprintf(path, sizeof path, "%s/client_00.idx", directory);
    witan_test_write(path, bytes, 4 * own);
    witan_dataset train = {.samples = own, .classes = 4, .labels = labels};
    uint32_t copy[64];
    memcpy(copy, test_labels, tests * sizeof *copy);
    witan_dataset test = {.samples = tests, .classes = 4, .labels = copy};
    witan_partition_config config = config_of(WITAN_PARTITION_FILE);
    config.clients = 1;
    config.minimum_samples = 1;
    config.path = directory;
    config.own_test_from_global = true;
    config.own_test_fraction = fraction;
    witan_partition p;
    CHECK_STATUS(witan_partition_make(&p, &config, &train, &test,
                                      witan_allocator_default(), NULL),
                 WITAN_OK);
    size_t counts[4] = {0};
    for (size_t i = 0; i < p.test[0].count; i++) {
        counts[copy[p.test[0].items[i]]]++;
    }
    for (size_t c = 0; c < 4; c++) {
        CHECK(counts[c] == expected[c]);
    }
    drop(&p);
}

static void
global_test_parts_follow_the_label_mix(void)
{
    uint32_t balanced[60];
    for (size_t i = 0; i < 60; i++) {
        balanced[i] = (uint32_t)(i % 3); /* 20 of each of 0, 1, 2; none of 3 */
    }
    static const uint32_t mixed[10] = {0, 0, 0, 0, 0, 1, 1, 1, 2, 2};
    check_global_mix(mixed, 10, balanced, 60, 1.0 / 6.0, (size_t[4]){5, 3, 2, 0});
    /* 7 rows: 3.5, 2.1, 1.4; one row more by largest remainder */
    check_global_mix(mixed, 10, balanced, 60, 7.0 / 60.0, (size_t[4]){4, 2, 1, 0});
    /* 60 wanted, but class 0 has 20 of 30: all shrinks by 2/3 */
    check_global_mix(mixed, 10, balanced, 60, 1.0, (size_t[4]){20, 12, 8, 0});
    /* a class that the test set lacks is left out of the mix */
    static const uint32_t lacking[6] = {3, 3, 3, 3, 1, 2};
    check_global_mix(lacking, 6, balanced, 60, 0.1, (size_t[4]){0, 3, 3, 0});
    /* at least one row, of the class most held */
    check_global_mix(mixed, 10, balanced, 60, 1e-6, (size_t[4]){1, 0, 0, 0});
    /* ties go to the lower class */
    static const uint32_t tied[2] = {2, 1};
    check_global_mix(tied, 2, balanced, 60, 0.05, (size_t[4]){0, 2, 1, 0});
}

static void
global_draws_depend_on_the_client_alone(void)
{
    /* iid over 20 clients and over 10: client 0's label counts differ little, so
     * compare draws where they cannot: one class. Every draw is distinct rows
     * (invariants), two clients differ, and the pool is left as it was: equal seeds and
     * mixes, equal draws. */
    witan_partition_config config = config_of(WITAN_PARTITION_LABELS);
    config.labels_per_client = 1;
    config.own_test_from_global = true;
    config.own_test_fraction = 0.05; /* 30 of 60 rows of the class */
    witan_partition ten = make(&config);
    config.clients = 20;
    witan_partition twenty = make(&config);
    for (size_t n = 0; n < 10; n++) {
        CHECK(ten.test[n].count == 30);
        CHECK(memcmp(ten.test[n].items, twenty.test[n].items, 30 * 4) == 0);
        CHECK(memcmp(twenty.test[n].items, twenty.test[n + 10].items, 30 * 4) != 0);
    }
    config.own_test_fraction = 0.06; /* other test rows are another partition */
    witan_partition larger = make(&config);
    CHECK(larger.train[0].count == twenty.train[0].count);
    CHECK(!same(&larger, &twenty));
    drop(&larger);
    drop(&twenty);
    drop(&ten);
}

static void
every_allocation_may_fail(void)
{
    sets *s = fixture();
    witan_partition_config saved = config_of(WITAN_PARTITION_IID);
    witan_partition whole = make(&saved);
    const char *directory = witan_test_path("allocation");
    for (size_t fail_at = 1;; fail_at++) {
        witan_failing_allocator failing;
        witan_failing_allocator_init(&failing, fail_at);
        witan_status status = witan_partition_save(&whole, &s->train, directory,
                                                   &failing.allocator, NULL);
        CHECK(failing.live == 0);
        if (status == WITAN_OK) {
            CHECK(fail_at > 1);
            break;
        }
        CHECK_STATUS(status, WITAN_E_MEMORY);
    }
    drop(&whole);
    for (int kind = 0; kind <= WITAN_PARTITION_NATURAL; kind++) {
        for (int global = 0; global < 2; global++) {
            witan_partition_config config = config_of((witan_partition_kind)kind);
            config.path = directory;
            config.own_test_from_global = global == 1;
            /* Redraws fail, so that topping up is reached. */
            config.alpha = 0.01;
            config.retries = 1;
            for (size_t fail_at = 1;; fail_at++) {
                witan_failing_allocator failing;
                witan_failing_allocator_init(&failing, fail_at);
                witan_partition p;
                witan_diag diag = {WITAN_OK, ""};
                witan_status status = witan_partition_make(
                    &p, &config, &s->train, &s->test, &failing.allocator, &diag);
                witan_partition_fini(&p, &failing.allocator);
                CHECK(failing.live == 0);
                if (status == WITAN_OK) {
                    CHECK(fail_at > 5);
                    break;
                }
                CHECK_STATUS(status, WITAN_E_MEMORY);
                CHECK_CONTAINS(diag.message, "out of memory");
            }
        }
    }
}

static void
kinds_have_names(void)
{
    CHECK_STRING(witan_partition_kind_name(WITAN_PARTITION_IID), "iid");
    CHECK_STRING(witan_partition_kind_name(WITAN_PARTITION_DIRICHLET_CLIENT),
                 "dirichlet-client");
    CHECK_STRING(witan_partition_kind_name(WITAN_PARTITION_FILE), "file");
    CHECK_STRING(witan_partition_kind_name(WITAN_PARTITION_NATURAL), "natural");
}

int
main(void)
{
    RUN(every_rule_is_disjoint_and_complete);
    RUN(the_seed_decides_everything);
    RUN(draws_are_the_same_in_every_version);
    RUN(transfer_rows_are_uniform);
    RUN(iid_sizes_differ_by_one);
    RUN(holdouts_have_their_share);
    RUN(labels_gives_each_client_k_classes);
    RUN(shards_are_cut_from_sorted_rows);
    RUN(natural_deals_whole_classes);
    RUN(natural_fills_the_smallest_client);
    RUN(natural_needs_a_class_for_each_client);
    RUN(a_short_client_is_topped_up_from_the_largest);
    RUN(top_up_cuts_the_largest_to_one_size);
    RUN(balance_stops_at_the_fair_share);
    RUN(large_alpha_is_iid_and_small_alpha_is_not);
    RUN(dirichlet_rules_agree_with_numpy);
    RUN(index_files_of_another_program_are_read);
    RUN(a_saved_partition_reads_back);
    RUN(a_full_disk_leaves_no_half_partition);
    RUN(malformed_index_files_are_named);
    RUN(impossible_partitions_say_what_to_change);
    RUN(global_test_parts_follow_the_label_mix);
    RUN(global_draws_depend_on_the_client_alone);
    RUN(every_allocation_may_fail);
    RUN(kinds_have_names);
    return witan_test_finish();
}
