"""Which groups a step trains on, one file for each answer. A recipe names one under `grpo.gate`.

A step's entries in the schedule are a queue. They are sampled in its order until as many groups are admitted as the
step wants, or the queue is at its end; what was admitted by then is trained on. A member defines

    def batches(settings: Settings) -> int

how long a queue is, in batches of `schedule.batch_size` entries;

    def wanted(entries: int, settings: Settings) -> int

how many groups a step trains on, at most, from a queue of so many entries; as many are sampled at a time, at least one;

    def admits(group: Group, settings: Settings) -> bool

whether a group (`mmr1.grpo.experience`) is trained on. It must follow from the group alone, so that all ranks agree.
"""
