/* log.h - structured log lines through a replaceable sink; the rooms are silent
 * by default and never write to standard output or error themselves.
 * Never log keys, samples, labels, logits or soft labels: sizes, digests, ids only.
 * Threads: a sink is called from the thread that logs; it locks if it must. */
#ifndef WITAN_BASE_LOG_H
#define WITAN_BASE_LOG_H

#include "base/status.h"

typedef enum witan_log_level {
    WITAN_LOG_DEBUG,
    WITAN_LOG_INFO,
    WITAN_LOG_WARNING,
    WITAN_LOG_ERROR,
} witan_log_level;

typedef struct witan_log {
    /* id: stable name of the event; text: "key=value ..." or a sentence. */
    void (*write)(void *context, witan_log_level level, const char *id,
                  const char *text);
    void *context;
    witan_log_level minimum; /* lower levels are not formatted */
} witan_log;

/* Formats and hands one line to the sink; `log` or its sink may be NULL (silence). */
void witan_log_write(const witan_log *log, witan_log_level level, const char *id,
                     const char *format, ...) WITAN_PRINTF(4, 5);

#endif
