"""The only room with a loop, signals, the watchdog and sd_notify."""
