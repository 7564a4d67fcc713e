"""Plain HTTP: request heads, the bridge to Hypercorn, and what no log may see."""
