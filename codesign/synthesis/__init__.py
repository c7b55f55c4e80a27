"""What a synthesiser makes of the engine, unit by unit, held against the resource model: ``make -C sim synth``."""
