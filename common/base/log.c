#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void
witan_log_write(const witan_log *log, witan_log_level level, const char *id,
                const char *format, ...)
{
    char text[1024];
    va_list arguments;

    if (log == NULL || log->write == NULL || level < log->minimum) {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log->write(log->context, level, id, text);
}
