"""The rig: real Hermes agents, driven by a scripted model on this machine's loopback.

A test takes the fixture `hermes` (each supported line in turn), `hermes_019` or `hermes_022`:

    result = hermes.run_turn(
        hermes.server.turn(call("terminal", command="echo ok"), say("over"))
    )
    assert len(hermes.home.tool_rows(result.session)) == 1

`script` has what the model can say, `model_server` plays it and keeps the requests, `agent` starts the
agent and `process` follows it, `home` reads what they left, `environment` installs Hermes.
"""
